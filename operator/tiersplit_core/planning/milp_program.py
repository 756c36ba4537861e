"""A mixed-integer program that grows, and HiGHS, which solves it as it stands.

Paper: Huangfu and Hall, "Parallelizing the dual revised simplex method", 2018 (HiGHS).
All rows read `coefficients · columns <= bound`; columns are between 0 and 1 unless they are said to be free.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from tiersplit_core.cost.arrays import Floats, Ints
from tiersplit_core.planning.expressions import Expression


class MilpStatus(IntEnum):
    """How HiGHS ended; the numbers are scipy's."""

    OPTIMAL = 0
    STOPPED = 1
    INFEASIBLE = 2


@dataclass(frozen=True, slots=True)
class ProgramResult:
    """What HiGHS found.

    Attributes:
        status: how it ended.
        lower: no solution has a smaller objective.
        columns: the best solution as HiGHS gave it, shape (columns,); None where it has none.
    """

    status: MilpStatus
    lower: float
    columns: Floats | None


class Program:
    """Columns and rows."""

    def __init__(self) -> None:
        self.rows = 0
        self._upper: list[float] = []
        self._integral: list[bool] = []
        self._parts: list[tuple[Ints, Ints, Floats]] = []
        self._bounds: list[Floats] = []

    @property
    def columns(self) -> int:
        """How many columns there are."""
        return len(self._upper)

    def new_columns(self, count: int, *, integral: bool = False, upper: float = 1.0) -> int:
        """Add columns from 0 to `upper`; returns the first one's number."""
        self._upper += [upper] * count
        self._integral += [integral] * count
        return self.columns - count

    def fix_at_zero(self, columns: Ints) -> None:
        """Let columns be 0."""
        for number in columns.tolist():
            self._upper[number] = 0.0

    def add_row(self, expression: Expression, bound: float) -> None:
        """Demand `expression <= bound`."""
        coefficients, constant = expression
        columns = np.fromiter(coefficients, dtype=np.int64, count=len(coefficients))
        values = np.fromiter(coefficients.values(), dtype=np.float64, count=len(coefficients))
        self._add_rows(np.zeros_like(columns), columns, values, np.array([bound - constant]))

    def add_at_most(self, smaller: Ints, larger: Ints) -> None:
        """Demand `column smaller[i] <= column larger[i]` for each i."""
        count = len(smaller)
        rows, ones = np.tile(np.arange(count), 2), np.ones(count)
        self._add_rows(rows, np.concatenate((smaller, larger)), np.concatenate((ones, -ones)), np.zeros(count))

    def _add_rows(self, rows: Ints, columns: Ints, values: Floats, bounds: Floats) -> None:
        self._parts.append((rows + self.rows, columns, values))
        self._bounds.append(bounds)
        self.rows += len(bounds)

    def minimise(self, objective: Expression, time_limit_s: float) -> ProgramResult:
        """Let HiGHS minimise an expression."""
        from scipy.optimize import Bounds, LinearConstraint, milp  # noqa: PLC0415 - 0.5 s that other solvers need not pay
        from scipy.sparse import csr_matrix  # noqa: PLC0415

        rows, columns, values = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        matrix = csr_matrix((values, (rows, columns)), shape=(self.rows, self.columns))
        cost = np.zeros(self.columns)
        cost[list(objective[0])] = list(objective[0].values())
        result = milp(
            cost,
            integrality=np.array(self._integral, dtype=np.float64),
            bounds=Bounds(0.0, np.array(self._upper)),
            constraints=LinearConstraint(matrix, -np.inf, np.concatenate(self._bounds)),
            options={"time_limit": max(time_limit_s, 0.01), "mip_rel_gap": 0.0},
        )
        bound = result.mip_dual_bound if result.mip_dual_bound is not None else -np.inf
        status = MilpStatus(result.status) if result.status in (0, 1, 2) else MilpStatus.STOPPED
        return ProgramResult(status, float(bound) + objective[1], result.x)
