"""What a plan costs in seconds and bytes."""
