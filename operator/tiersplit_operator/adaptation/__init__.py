"""Which plan each SplitDeployment serves now: observations in, route out, decided by the core's policy."""
