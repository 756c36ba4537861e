"""The planning problem under the name by which planners know it; it is defined where its cost is computed."""

from tiersplit_core.cost.problem import (
    INPUT,
    Link,
    MemoryModel,
    Objective,
    Problem,
    ProblemLayer,
    Serving,
    Tier,
    Variant,
)

__all__ = ["INPUT", "Link", "MemoryModel", "Objective", "Problem", "ProblemLayer", "Serving", "Tier", "Variant"]
