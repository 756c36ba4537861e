"""Which plan to serve, and why: observations, estimates and the policy."""
