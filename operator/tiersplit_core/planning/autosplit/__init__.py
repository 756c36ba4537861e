"""AUTO-SPLIT: the split point and the bit widths of the first tier, found together."""
