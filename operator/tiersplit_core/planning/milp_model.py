"""The placement problem as a mixed-integer program: columns, rows and the objective.

Columns: x[v, k] = 1 when layer v runs beyond link k; z[u, k] = 1 when any of several readers of value u does; used[k]
and back[k] when a tensor crosses link k forward or the result crosses it back; for throughput the largest seconds T.
Rows of the working set are added when they are needed: each brings columns for the tensors held at one step of a stage.
All rows read `coefficients · columns <= bound`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from tiersplit_core.cost.arrays import Floats, Ints, ProblemArrays

Expression = tuple[dict[int, float], float]
"""Coefficient per column, and a constant."""
Term = tuple[Expression, float]
"""What is 1 where something costs and 0 elsewhere, and its scaled seconds."""


class MilpStatus(IntEnum):
    """How HiGHS ended; the numbers are scipy's."""

    OPTIMAL = 0
    STOPPED = 1
    INFEASIBLE = 2


@dataclass(frozen=True, slots=True)
class MilpResult:
    """What HiGHS found.

    Attributes:
        status: how it ended.
        tiers: tier per layer of its best placement, shape (L,); None where it has none.
        lower_s: no placement that satisfies the rows is better than this many seconds.
        columns: the placement as HiGHS gave it, shape (columns,); None where it has none.
    """

    status: MilpStatus
    tiers: Ints | None
    lower_s: float
    columns: Floats | None = None


@dataclass
class MilpModel:
    """A mixed-integer program that grows.

    Attributes:
        arrays: the problem.
        scale: what seconds are multiplied by.
        upper_s: only placements of at most so many seconds are sought; what alone takes longer is ruled out, because
            coefficients far above the objective would drown in the solver's tolerances.
    """

    arrays: ProblemArrays
    scale: float
    upper_s: float = np.inf
    columns: int = 0
    rows: int = 0
    _parts: list[tuple[Ints, Ints, Floats]] = field(default_factory=list)
    _bounds: list[Floats] = field(default_factory=list)

    def __post_init__(self) -> None:
        arrays = self.arrays
        self._links = arrays.tiers - 1
        counts = np.bincount(arrays.read_value, minlength=arrays.layers + 1)
        self._shared = {int(u): i for i, u in enumerate(np.flatnonzero(counts > 1))}
        self._first_shared = arrays.layers * self._links
        self._first_used = self._first_shared + len(self._shared) * self._links
        self._first_back = self._first_used + self._links
        self.columns = self._first_back + self._links + arrays.throughput
        self._readers: list[list[int]] = [[] for _ in range(arrays.layers + 1)]
        for value, layer in zip(arrays.read_value.tolist(), arrays.read_layer.tolist(), strict=True):
            self._readers[value].append(layer)
        self._add_structure(counts)
        self._rule_out()
        self.objective = self._objective()

    # Columns and expressions

    def x(self, layer: int, link: int) -> Expression:
        """[layer runs beyond link]; beyond link -1 runs everything, beyond the last tier nothing."""
        if link < 0:
            return {}, 1.0
        return ({}, 0.0) if link >= self._links else ({layer * self._links + link: 1.0}, 0.0)

    def on(self, layer: int, tier: int) -> Expression:
        """[layer runs on tier]."""
        return add(self.x(layer, tier - 1), self.x(layer, tier), -1.0)

    def crosses(self, value: int, link: int) -> Expression:
        """[value crosses link], at its smallest in any solution that pays for it."""
        if not 0 <= link < self._links or not self._readers[value]:
            return {}, 0.0
        beyond = self.x(self._readers[value][0], link)
        if value in self._shared:
            beyond = ({self._first_shared + self._shared[value] * self._links + link: 1.0}, 0.0)
        return add(beyond, self.x(value - 1, link), -1.0) if value else beyond

    # Rows

    def add_row(self, expression: Expression, bound: float) -> None:
        """Demand `expression <= bound`."""
        coefficients, constant = expression
        columns = np.fromiter(coefficients, dtype=np.int64, count=len(coefficients))
        values = np.fromiter(coefficients.values(), dtype=np.float64, count=len(coefficients))
        self._add_rows(np.zeros_like(columns), columns, values, np.array([bound - constant]))

    def _add_rows(self, rows: Ints, columns: Ints, values: Floats, bounds: Floats) -> None:
        self._parts.append((rows + self.rows, columns, values))
        self._bounds.append(bounds)
        self.rows += len(bounds)

    def _add_at_most(self, smaller: Ints, larger: Ints) -> None:
        """Rows `column smaller[i] <= column larger[i]`."""
        count = len(smaller)
        rows, ones = np.tile(np.arange(count), 2), np.ones(count)
        self._add_rows(rows, np.concatenate((smaller, larger)), np.concatenate((ones, -ones)), np.zeros(count))

    def _add_structure(self, counts: Ints) -> None:
        arrays, links = self.arrays, self._links
        value, layer = arrays.read_value, arrays.read_layer
        inner = value > 0
        auxiliary = np.array([self._shared.get(int(u), 0) for u in value], dtype=np.int64)
        shared = counts[value] > 1
        everything = np.arange(arrays.layers)
        sinks = np.flatnonzero(counts[1:] == 0)
        for k in range(links):
            if k + 1 < links:
                self._add_at_most(everything * links + k + 1, everything * links + k)
            self._add_at_most((value[inner] - 1) * links + k, layer[inner] * links + k)
            columns = self._first_shared + auxiliary[shared] * links + k
            self._add_at_most(layer[shared] * links + k, columns)
            self._add_at_most(sinks * links + k, np.full(len(sinks), self._first_used + k))
            if arrays.way_back:
                outputs = arrays.outputs
                self._add_at_most(outputs * links + k, np.full(len(outputs), self._first_back + k))
        for tier, limit in enumerate(arrays.limits):
            if limit is not None:
                self._add_memory_row(self._weights(tier, limit), limit)

    def _rule_out(self) -> None:
        """Demand that no layer runs, and nothing crosses, where that alone takes longer than is sought."""
        for layer, tier in np.argwhere(self.arrays.seconds > self.upper_s).tolist():
            self.add_row(self.on(layer, tier), 0.0)
        for link in range(self._links):
            if self.arrays.latency_s[link] > self.upper_s:
                self.add_row(({self._first_used + link: 1.0, self._first_back + link: 1.0}, 0.0), 0.0)
            send_s = self.arrays.sent_bytes * self.arrays.s_per_byte[link]
            for value in np.flatnonzero(send_s > self.upper_s).tolist():
                self.add_row(self.crosses(value, link), 0.0)
            for output in self._slow_on_the_way_back(link):
                self.add_row(self.x(output, link), 0.0)

    def _slow_on_the_way_back(self, link: int) -> list[int]:
        """The outputs whose way back over a link alone takes longer than is sought; they return as they are."""
        if not self.arrays.way_back:
            return []
        back_s = self.arrays.value_bytes[self.arrays.outputs + 1] * self.arrays.s_per_byte[link]
        slow: list[int] = self.arrays.outputs[back_s > self.upper_s].tolist()
        return slow

    def _weights(self, tier: int, limit: int) -> Expression:
        sizes = _no_more_than(limit + 1, self.arrays.weight_bytes)
        return total((self.on(v, tier), size) for v, size in enumerate(sizes) if size)

    def _add_memory_row(self, expression: Expression, limit: int) -> None:
        """Demand `expression <= limit` of whole bytes, scaled to about 1.

        HiGHS takes what is 1e-6 from a whole number for whole. Scaled higher, rows would refuse it once it is rounded,
        and HiGHS then drops all placements near it unseen. Placements that pass by less than a tolerance are forbidden
        one by one instead. A power of two and half a byte more keep what fits to the byte.
        """
        scale = 2.0 ** -limit.bit_length()
        self.add_row(add(({}, 0.0), expression, scale), (limit + 0.5) * scale)

    def add_working_set(self, tier: int, layer: int) -> None:
        """Demand that `tier` fits its memory while it runs `layer`, if it does."""
        limit = self.arrays.limits[tier]
        if limit is None:
            return
        sizes = _no_more_than(limit + 1, self._held_bytes(tier))
        held = [(self._held(value, tier, layer), size) for value, size in enumerate(sizes) if size]
        slack = float(sum(size for expression, size in held if expression != ({}, 0.0)))
        # The weights fit anyway: only what is held needs slack where the layer runs elsewhere.
        elsewhere = add(({}, 1.0), self.on(layer, tier), -1.0)
        row = add(add(total(held), self._weights(tier, limit), 1.0), elsewhere, -slack)
        self._add_memory_row(row, limit)

    def _held_bytes(self, tier: int) -> Ints:
        """Bytes per value on the tier, shape (L + 1,)."""
        sizes = self.arrays.own_bytes if tier == 0 else self.arrays.value_bytes
        return np.where(np.arange(len(sizes)) == 0, 0, sizes) if self.arrays.counts_as_paper else sizes

    def _held(self, value: int, tier: int, layer: int) -> Expression:
        """[value is held on tier while it runs layer], given that it runs there."""
        if value == layer + 1:
            return {}, 1.0
        if value > layer:
            return self.crosses(value, tier - 1)
        first = layer + self.arrays.counts_as_paper
        late = [reader for reader in self._readers[value] if reader >= first]
        if not late:
            return self.crosses(value, tier)
        beyond = self.x(value - 1, tier) if value else ({}, 0.0)
        if tier == 0:
            return add(({}, 1.0), beyond, -1.0)
        if len(self._readers[value]) == 1:
            return add(self.x(late[0], tier - 1), beyond, -1.0)
        column = self._new_column()
        for reader in self._readers[value]:
            needed = self.x(reader, tier - 1 if reader >= first else tier)
            self.add_row(add(add(needed, beyond, -1.0), ({column: 1.0}, 0.0), -1.0), 0.0)
        return {column: 1.0}, 0.0

    def solve(self, time_limit_s: float) -> MilpResult:
        """Let HiGHS solve the program as it stands."""
        from scipy.optimize import Bounds, LinearConstraint, milp  # noqa: PLC0415 - 0.5 s that other solvers need not pay
        from scipy.sparse import csr_matrix  # noqa: PLC0415

        rows, columns, values = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        matrix = csr_matrix((values, (rows, columns)), shape=(self.rows, self.columns))
        cost = np.zeros(self.columns)
        cost[list(self.objective[0])] = list(self.objective[0].values())
        integral = np.zeros(self.columns)
        integral[: self._first_shared] = 1
        result = milp(
            cost,
            integrality=integral,
            bounds=Bounds(0.0, self._upper()),
            constraints=LinearConstraint(matrix, -np.inf, np.concatenate(self._bounds)),
            options={"time_limit": max(time_limit_s, 0.01), "mip_rel_gap": 0.0},
        )
        bound = result.mip_dual_bound if result.mip_dual_bound is not None else -np.inf
        return MilpResult(
            status=MilpStatus(result.status) if result.status in (0, 1, 2) else MilpStatus.STOPPED,
            tiers=None if result.x is None else self._tiers_of(result.x),
            lower_s=(float(bound) + self.objective[1]) / self.scale,
            columns=result.x,
        )

    def _upper(self) -> Floats:
        upper = np.ones(self.columns)
        if self.arrays.throughput:
            upper[self._first_back + self._links] = np.inf
        forced = np.repeat(self.arrays.forced_first, self._links)
        upper[: self._first_shared][forced] = 0.0
        return upper

    def _tiers_of(self, columns: Floats) -> Ints:
        binaries = np.rint(columns[: self._first_shared]).reshape(self.arrays.layers, self._links)
        return np.asarray(binaries.sum(axis=1), dtype=np.int64)

    def _new_column(self) -> int:
        self.columns += 1
        return self.columns - 1

    def forbid(self, tiers: Ints) -> None:
        """Demand another placement than `tiers`, shape (L,)."""
        same = total((self.on(v, int(t)), 1.0) for v, t in enumerate(tiers.tolist()))
        self.add_row(same, len(tiers) - 1.0)

    def forbid_slow(self, columns: Floats) -> bool:
        """Demand that not all of what makes a placement too slow happens together (a cover inequality), if it is.

        What is 1e-6 from a whole number passes for whole, so a placement can look faster to HiGHS than it is. Of the
        sum that is too large the largest terms are taken until they alone exceed what is sought.
        """
        rows, whole, sought = self.rows, np.rint(columns), self.upper_s * self.scale * (1 - 1e-14)
        for terms in self._sums():
            costly = sorted((term for term in terms if value_of(term[0], whole) > 0.5), key=lambda term: -term[1])
            reached = np.cumsum([seconds for _, seconds in costly])
            if len(reached) and reached[-1] >= sought:
                cover = costly[: int(np.searchsorted(reached, sought)) + 1]
                self.add_row(total((expression, 1.0) for expression, _ in cover), len(cover) - 1.0)
        return self.rows > rows

    # Objective

    def _objective(self) -> Expression:
        sums = [total(terms) for terms in self._sums()]
        if not self.arrays.throughput:
            return sums[0]
        largest = ({self._first_back + self._links: 1.0}, 0.0)
        for expression in sums:
            self.add_row(add(expression, largest, -1.0), 0.0)
        return largest

    def _sums(self) -> list[list[Term]]:
        """What is added up: all of it for latency, each stage and each link by itself for throughput."""
        stages = [self._stage_terms(tier) for tier in range(self.arrays.tiers)]
        parts = stages + [self._link_terms(link) for link in range(self._links)]
        return parts if self.arrays.throughput else [[term for part in parts for term in part]]

    def _stage_terms(self, tier: int) -> list[Term]:
        arrays, seconds = self.arrays, self.arrays.seconds[:, tier].tolist()
        terms: list[Term] = [(self.on(v, tier), s * self.scale) for v, s in enumerate(seconds) if 0 < s <= self.upper_s]
        terms.append((({}, float(arrays.request_s[tier])), self.scale))
        for link in range(max(tier - 1, 0), min(tier + 1, self._links)):
            terms.append((self._used(link), float(arrays.hop_s[tier, link]) * self.scale))
            terms += self._carried_terms(link, float(arrays.hop_s_per_byte[tier, link]))
        return terms

    def _link_terms(self, link: int) -> list[Term]:
        arrays = self.arrays
        latency = float(arrays.latency_s[link]) * self.scale
        terms = [*self._carried_terms(link, 8.0 / float(arrays.bandwidth_bps[link])), (self._used(link), latency)]
        if arrays.way_back:
            terms.append((({self._first_back + link: 1.0}, 0.0), latency))
        return terms

    def _used(self, link: int) -> Expression:
        return {self._first_used + link: 1.0}, 0.0

    def _carried_terms(self, link: int, s_per_byte: float) -> list[Term]:
        """The bytes that cross a link in either direction, at so many seconds each."""
        arrays = self.arrays
        longest = self.upper_s * (1 + 1e-12) / float(arrays.s_per_byte[link])
        per_byte = self.scale * s_per_byte
        sent = arrays.sent_bytes.tolist()
        terms: list[Term] = [
            (self.crosses(v, link), size * per_byte) for v, size in enumerate(sent) if 0 < size <= longest
        ]
        if arrays.way_back:
            back = [(output, int(arrays.value_bytes[output + 1])) for output in arrays.outputs.tolist()]
            terms += [(self.x(output, link), size * per_byte) for output, size in back if size <= longest]
        return terms


def _no_more_than(most: int, sizes: Ints) -> list[int]:
    """Sizes cut at one byte more than a limit: they break it as surely, and large ones would drown in tolerances."""
    kept: list[int] = np.minimum(sizes, most).tolist()
    return kept


def add(first: Expression, second: Expression, factor: float) -> Expression:
    """First + factor · second."""
    coefficients = dict(first[0])
    for column, value in second[0].items():
        coefficients[column] = coefficients.get(column, 0.0) + factor * value
    return coefficients, first[1] + factor * second[1]


def value_of(expression: Expression, columns: Floats) -> float:
    """What an expression comes to for given columns, shape (columns,)."""
    return expression[1] + sum(factor * float(columns[column]) for column, factor in expression[0].items())


def total(terms: Iterable[tuple[Expression, float]]) -> Expression:
    """The sum of expressions with factors."""
    coefficients: dict[int, float] = {}
    constant = 0.0
    for (summand, offset), factor in terms:
        constant += factor * offset
        for column, value in summand.items():
            coefficients[column] = coefficients.get(column, 0.0) + factor * value
    return coefficients, constant
