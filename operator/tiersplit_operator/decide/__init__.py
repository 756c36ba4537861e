"""Pure steps from what is known to what should be, in order."""
