"""Where to divide a network: problems, plans, solvers, baselines and the surface."""
