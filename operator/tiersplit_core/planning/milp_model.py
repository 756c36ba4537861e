"""The placement problem as a mixed-integer program: columns, rows and the objective.

Columns: x[v, k] = 1 when layer v runs beyond link k; z[u, k] = 1 when any of several readers of value u does; used[k]
and back[k] when a tensor crosses link k forward or the result crosses it back; for throughput the largest seconds T.
Where a tier may run a layer at several bit widths, one column for each says which, and their sum is that the layer
runs there. A value that crosses a link, or is held, has the size that its width gives it: columns of which at most the
chosen width's can be 1 (as in Croxton, Gendron and Magnanti, "A comparison of mixed-integer programming models for
nonconvex piecewise linear cost minimization problems", 2003, the multiple choice model). One row bounds the distortion.
Rows of the working set are added when they are needed: each brings columns for the tensors held at one step of a stage.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tiersplit_core.cost.arrays import Bools, Floats, Ints, ProblemArrays
from tiersplit_core.cost.widths import MEETS, WidthArrays
from tiersplit_core.planning.expressions import ALWAYS, NEVER, Expression, Term, add, any_of, column, total, value_of
from tiersplit_core.planning.milp_program import MilpStatus, Program

Sized = list[tuple[Expression, int]]
"""Expressions of which at most one is 1, and the bytes that it stands for."""


@dataclass(frozen=True, slots=True)
class MilpResult:
    """What HiGHS found.

    Attributes:
        status: how it ended.
        tiers: tier per layer of its best plan, shape (L,); None where it has none.
        choice: the width per layer as `cost.widths` numbers them, shape (L,); None likewise.
        lower_s: no plan that satisfies the rows is better than this many seconds.
        columns: the plan as HiGHS gave it, shape (columns,); None where it has none.
    """

    status: MilpStatus
    tiers: Ints | None
    choice: Ints | None
    lower_s: float
    columns: Floats | None = None


class MilpModel(Program):
    """A problem's program.

    Args:
        arrays: the problem.
        widths: what its layers may run as.
        usable: which of that each tier may run, shape (L, V, M); none of it errs too much by itself.
        scale: what seconds are multiplied by.
        upper_s: only plans of at most so many seconds are sought; what alone takes longer is ruled out, because
            coefficients far above the objective would drown in the solver's tolerances.
    """

    def __init__(
        self, arrays: ProblemArrays, widths: WidthArrays, usable: Bools, scale: float, upper_s: float = np.inf
    ) -> None:
        super().__init__()
        self.arrays, self.widths, self.scale, self.upper_s = arrays, widths, scale, upper_s
        self._usable = usable & (widths.seconds <= upper_s)
        self._links = arrays.tiers - 1
        counts = np.bincount(arrays.read_value, minlength=arrays.layers + 1)
        self._shared = {int(u): i for i, u in enumerate(np.flatnonzero(counts > 1))}
        self.new_columns(arrays.layers * self._links, integral=True)
        self._first_shared = self.new_columns(len(self._shared) * self._links)
        self._first_used = self.new_columns(self._links)
        self._first_back = self.new_columns(self._links)
        self._largest = self.new_columns(int(arrays.throughput), upper=np.inf)
        self._readers: list[list[int]] = [[] for _ in range(arrays.layers + 1)]
        for value, layer in zip(arrays.read_value.tolist(), arrays.read_layer.tolist(), strict=True):
            self._readers[value].append(layer)
        self._add_structure(counts)
        self._runs = [[self._add_runs(v, t) for t in range(arrays.tiers)] for v in range(arrays.layers)]
        self._carried = [[self._add_carried(u, k) for k in range(self._links)] for u in range(arrays.layers + 1)]
        self._add_limits()
        self._rule_out()
        self.objective = self._objective()

    # Columns and expressions

    def x(self, layer: int, link: int) -> Expression:
        """[layer runs beyond link]; beyond link -1 runs everything, beyond the last tier nothing."""
        if link < 0:
            return ALWAYS
        return NEVER if link >= self._links else column(layer * self._links + link)

    def on(self, layer: int, tier: int) -> Expression:
        """[layer runs on tier]."""
        return add(self.x(layer, tier - 1), self.x(layer, tier), -1.0)

    def runs(self, layer: int, tier: int) -> dict[int, Expression]:
        """[layer runs on tier at a width], per width that may be."""
        return self._runs[layer][tier]

    def crosses(self, value: int, link: int) -> Expression:
        """[value crosses link], at its smallest in any solution that pays for it."""
        if not 0 <= link < self._links or not self._readers[value]:
            return NEVER
        beyond = self.x(self._readers[value][0], link)
        if value in self._shared:
            beyond = column(self._first_shared + self._shared[value] * self._links + link)
        return add(beyond, self.x(value - 1, link), -1.0) if value else beyond

    def _add_runs(self, layer: int, tier: int) -> dict[int, Expression]:
        on, able = self.on(layer, tier), np.flatnonzero(self._usable[layer, :, tier]).tolist()
        if len(able) == 1:
            return {able[0]: on}
        first = self.new_columns(len(able), integral=True)
        runs = {v: column(first + i) for i, v in enumerate(able)}
        unchosen = add(on, any_of(runs.values()), -1.0)
        self.add_row(unchosen, 0.0)
        if able:
            self.add_row(total([(unchosen, -1.0)]), 0.0)
        return runs

    def _add_carried(self, value: int, link: int) -> Sized:
        """What a value has of bytes where it crosses a link."""
        if not value:
            return [(self.crosses(value, link), int(self.arrays.sent_bytes[0]))]
        made = [run for tier in range(link + 1) for run in self.runs(value - 1, tier).items()]
        sizes = self.widths.sent_bytes[value - 1]
        return self._sized(self.crosses(value, link), [(run, int(sizes[v])) for v, run in made])

    def _sized(self, happens: Expression, sources: Sized) -> Sized:
        """What happens, divided by the bytes of the source that is 1; wherever it happens one of them is."""
        by_size: dict[int, list[Expression]] = {}
        for source, size in sources:
            by_size.setdefault(size, []).append(source)
        if len(by_size) < 2 or happens == NEVER:
            return [(happens, size) for size in by_size]
        first = self.new_columns(len(by_size))
        parts = [(column(first + i), size) for i, size in enumerate(by_size)]
        for part, size in parts:
            self.add_row(add(part, any_of(by_size[size]), -1.0), 0.0)
        self.add_row(add(happens, any_of(part for part, _ in parts), -1.0), 0.0)
        return parts

    # Rows

    def _add_structure(self, counts: Ints) -> None:
        arrays, links = self.arrays, self._links
        value, layer = arrays.read_value, arrays.read_layer
        inner = value > 0
        auxiliary = np.array([self._shared.get(int(u), 0) for u in value], dtype=np.int64)
        shared = counts[value] > 1
        everything = np.arange(arrays.layers)
        sinks = np.flatnonzero(counts[1:] == 0)
        forced = np.flatnonzero(arrays.forced_first)
        for k in range(links):
            if k + 1 < links:
                self.add_at_most(everything * links + k + 1, everything * links + k)
            self.add_at_most((value[inner] - 1) * links + k, layer[inner] * links + k)
            columns = self._first_shared + auxiliary[shared] * links + k
            self.add_at_most(layer[shared] * links + k, columns)
            self.add_at_most(sinks * links + k, np.full(len(sinks), self._first_used + k))
            if arrays.way_back:
                outputs = arrays.outputs
                self.add_at_most(outputs * links + k, np.full(len(outputs), self._first_back + k))
            self.fix_at_zero(forced * links + k)

    def _add_limits(self) -> None:
        """The rows of weights, and of the distortion as a share of what may be."""
        for tier, limit in enumerate(self.arrays.limits):
            if limit is not None:
                self._add_memory_row(self._weights(tier, limit), limit)
        most = self.arrays.problem.max_distortion
        if most:
            errors = self.widths.distortion
            terms = ((run, float(errors[v, w]) / most) for v, _, w, run in self._all_runs() if errors[v, w])
            self.add_row(total(terms), 1 + MEETS)

    def _all_runs(self) -> Iterable[tuple[int, int, int, Expression]]:
        """Every layer, tier and width with [it runs there so]."""
        for v, tiers in enumerate(self._runs):
            for t, runs in enumerate(tiers):
                yield from ((v, t, w, run) for w, run in runs.items())

    def _rule_out(self) -> None:
        """Demand that nothing crosses where that alone takes longer than is sought."""
        for link in range(self._links):
            if self.arrays.latency_s[link] > self.upper_s:
                self.add_row(({self._first_used + link: 1.0, self._first_back + link: 1.0}, 0.0), 0.0)
            for crosses, size in (part for carried in self._carried for part in carried[link]):
                if size * self._s_per_byte(link) > self.upper_s:
                    self.add_row(crosses, 0.0)
            for output in self._slow_on_the_way_back(link):
                self.add_row(self.x(output, link), 0.0)

    def _s_per_byte(self, link: int) -> float:
        """Seconds that a byte on a link adds to the objective; to the largest sum that it adds to, for throughput."""
        if not self.arrays.throughput:
            return float(self.arrays.s_per_byte[link])
        return float(max(8.0 / self.arrays.bandwidth_bps[link], self.arrays.hop_s_per_byte[:, link].max()))

    def _slow_on_the_way_back(self, link: int) -> list[int]:
        """The outputs whose way back over a link alone takes longer than is sought; they return as they are."""
        if not self.arrays.way_back:
            return []
        back_s = self.arrays.value_bytes[self.arrays.outputs + 1] * self._s_per_byte(link)
        slow: list[int] = self.arrays.outputs[back_s > self.upper_s].tolist()
        return slow

    def _weights(self, tier: int, limit: int) -> Expression:
        # What is cut at one byte more than the limit breaks it as surely; large numbers would drown in tolerances.
        sizes = np.minimum(self.widths.weight_bytes, limit + 1).tolist()
        runs = ((run, sizes[v][w]) for v, tiers in enumerate(self._runs) for w, run in tiers[tier].items())
        return total((run, size) for run, size in runs if size)

    def _add_memory_row(self, expression: Expression, limit: int) -> None:
        """Demand `expression <= limit` of whole bytes, scaled to about 1.

        HiGHS takes what is 1e-6 from a whole number for whole. Scaled higher, rows would refuse it once it is rounded,
        and HiGHS then drops all placements near it unseen. Placements that pass by less than a tolerance are forbidden
        one by one instead. A power of two and half a byte more keep what fits to the byte.
        """
        scale = 2.0 ** -limit.bit_length()
        self.add_row(add(NEVER, expression, scale), (limit + 0.5) * scale)

    def add_working_set(self, tier: int, layer: int) -> None:
        """Demand that `tier` fits its memory while it runs `layer`, if it does."""
        limit = self.arrays.limits[tier]
        if limit is None:
            return
        held = [self._held(value, tier, layer, limit + 1) for value in range(self.arrays.layers + 1)]
        slack = float(sum(max((size for part, size in parts if part != NEVER), default=0) for parts in held))
        # The weights fit anyway: only what is held needs slack where the layer runs elsewhere.
        elsewhere = add(ALWAYS, self.on(layer, tier), -1.0)
        row = add(total(part for parts in held for part in parts), self._weights(tier, limit), 1.0)
        self._add_memory_row(add(row, elsewhere, -slack), limit)

    def _held(self, value: int, tier: int, layer: int, most: int) -> Sized:
        """What a value takes of bytes on tier while that runs `layer`, given that it does; sizes cut at `most`."""
        received = 0 if value == 0 and self.arrays.counts_as_paper else min(int(self.arrays.value_bytes[value]), most)
        if value > layer + 1 or not value:
            return [(self._is_held(value, tier, layer), received)]
        own = np.minimum(self.widths.own_bytes[value - 1], most).tolist()
        sources = [(run, own[v]) for v, run in self.runs(value - 1, tier).items()]
        if value == layer + 1:
            return sources
        if tier:
            sources.append((add(ALWAYS, self.x(value - 1, tier - 1), -1.0), received))
        return self._sized(self._is_held(value, tier, layer), sources)

    def _is_held(self, value: int, tier: int, layer: int) -> Expression:
        """[another layer's value is held on tier while that runs `layer`], given that it does."""
        if value > layer:
            return self.crosses(value, tier - 1)
        first = layer + self.arrays.counts_as_paper
        late = [reader for reader in self._readers[value] if reader >= first]
        if not late:
            return self.crosses(value, tier)
        beyond = self.x(value - 1, tier) if value else NEVER
        if tier == 0:
            return add(ALWAYS, beyond, -1.0)
        if len(self._readers[value]) == 1:
            return add(self.x(late[0], tier - 1), beyond, -1.0)
        held = column(self.new_columns(1))
        for reader in self._readers[value]:
            needed = self.x(reader, tier - 1 if reader >= first else tier)
            self.add_row(add(add(needed, beyond, -1.0), held, -1.0), 0.0)
        return held

    def solve(self, time_limit_s: float) -> MilpResult:
        """Let HiGHS solve the program as it stands."""
        found = self.minimise(self.objective, time_limit_s)
        lower_s = found.lower / self.scale
        if found.columns is None:
            return MilpResult(found.status, None, None, lower_s)
        binaries = np.rint(found.columns[: self._first_shared]).reshape(self.arrays.layers, self._links)
        tiers = np.asarray(binaries.sum(axis=1), dtype=np.int64)
        return MilpResult(found.status, tiers, self._choice_of(tiers, found.columns), lower_s, found.columns)

    def _choice_of(self, tiers: Ints, columns: Floats) -> Ints:
        """The width per layer on its tier, shape (L,)."""
        runs = [self.runs(v, t) for v, t in enumerate(tiers.tolist())]
        chosen = [max(of, key=lambda w: value_of(of[w], columns), default=0) for of in runs]
        return np.array(chosen, dtype=np.int64)

    def forbid(self, tiers: Ints, choice: Ints) -> None:
        """Demand another plan than this one, shape (L,) each."""
        plan = zip(tiers.tolist(), choice.tolist(), strict=True)
        same = any_of(self.runs(v, t).get(w, NEVER) for v, (t, w) in enumerate(plan))
        self.add_row(same, len(tiers) - 1.0)

    def forbid_error(self, choice: Ints) -> None:
        """Demand that not all of what makes a choice, shape (L,), too distorted, or what is worse, happens together.

        Rounding lets a choice pass that errs a tolerance more than may be. Of its errors the largest are taken until
        they alone are too many (a cover inequality).
        """
        errors, most = self.widths.distortion[np.arange(len(choice)), choice], self.arrays.problem.max_distortion or 0.0
        ranked = np.argsort(-errors, kind="stable")
        last = int(np.searchsorted(np.cumsum(errors[ranked]), most * (1 + MEETS), side="right"))
        cover = ranked[: last + 1].tolist()
        least = {v: float(errors[v]) for v in cover}
        as_bad = (run for v, _, w, run in self._all_runs() if v in least and self.widths.distortion[v, w] >= least[v])
        self.add_row(any_of(as_bad), len(cover) - 1.0)

    def forbid_slow(self, columns: Floats) -> bool:
        """Demand that not all of what makes a plan too slow happens together (a cover inequality), if it is.

        What is 1e-6 from a whole number passes for whole, so a plan can look faster to HiGHS than it is. Of the
        sum that is too large the largest terms are taken until they alone exceed what is sought.
        """
        rows, whole, sought = self.rows, np.rint(columns), self.upper_s * self.scale * (1 - 1e-14)
        for terms in self._sums():
            costly = sorted((term for term in terms if value_of(term[0], whole) > 0.5), key=lambda term: -term[1])
            reached = np.cumsum([seconds for _, seconds in costly])
            if len(reached) and reached[-1] >= sought:
                cover = costly[: int(np.searchsorted(reached, sought)) + 1]
                self.add_row(any_of(expression for expression, _ in cover), len(cover) - 1.0)
        return self.rows > rows

    # Objective

    def _objective(self) -> Expression:
        sums = [total(terms) for terms in self._sums()]
        if not self.arrays.throughput:
            return sums[0]
        for expression in sums:
            self.add_row(add(expression, column(self._largest), -1.0), 0.0)
        return column(self._largest)

    def _sums(self) -> list[list[Term]]:
        """What is added up: all of it for latency, each stage and each link by itself for throughput."""
        stages = [self._stage_terms(tier) for tier in range(self.arrays.tiers)]
        parts = stages + [self._link_terms(link) for link in range(self._links)]
        return parts if self.arrays.throughput else [[term for part in parts for term in part]]

    def _stage_terms(self, tier: int) -> list[Term]:
        arrays, seconds = self.arrays, self.widths.seconds[:, :, tier].tolist()
        runs = ((run, seconds[v][w]) for v, tiers in enumerate(self._runs) for w, run in tiers[tier].items())
        terms: list[Term] = [(run, s * self.scale) for run, s in runs if s > 0]
        terms.append((({}, float(arrays.request_s[tier])), self.scale))
        for link in range(max(tier - 1, 0), min(tier + 1, self._links)):
            terms.append((column(self._first_used + link), float(arrays.hop_s[tier, link]) * self.scale))
            terms += self._carried_terms(link, float(arrays.hop_s_per_byte[tier, link]))
        return terms

    def _link_terms(self, link: int) -> list[Term]:
        arrays = self.arrays
        latency = float(arrays.latency_s[link]) * self.scale
        terms = self._carried_terms(link, 8.0 / float(arrays.bandwidth_bps[link]))
        terms.append((column(self._first_used + link), latency))
        if arrays.way_back:
            terms.append((column(self._first_back + link), latency))
        return terms

    def _carried_terms(self, link: int, s_per_byte: float) -> list[Term]:
        """The bytes that cross a link in either direction, at so many seconds each."""
        arrays = self.arrays
        longest = self.upper_s * (1 + 1e-12) / self._s_per_byte(link)
        per_byte = self.scale * s_per_byte
        sent = (part for carried in self._carried for part in carried[link])
        terms: list[Term] = [(crosses, size * per_byte) for crosses, size in sent if 0 < size <= longest]
        if arrays.way_back:
            back = [(output, int(arrays.value_bytes[output + 1])) for output in arrays.outputs.tolist()]
            terms += [(self.x(output, link), size * per_byte) for output, size in back if size <= longest]
        return terms
