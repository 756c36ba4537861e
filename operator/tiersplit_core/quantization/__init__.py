"""Post-training quantisation: how weights and activations are rounded, and what that costs a layer."""
