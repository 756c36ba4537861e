"""What the papers' experiments are made of: their networks, and how their tables number layers."""
