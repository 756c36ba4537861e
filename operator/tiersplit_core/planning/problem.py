"""The planning problem under the name by which planners know it; it is defined where its cost is computed."""

from tiersplit_core.cost.problem import INPUT, Link, Objective, Problem, ProblemLayer, Serving, Tier

__all__ = ["INPUT", "Link", "Objective", "Problem", "ProblemLayer", "Serving", "Tier"]
