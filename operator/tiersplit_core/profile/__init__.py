"""Seconds and bytes per layer, segment, tier and batch size: measured, given or simulated."""
