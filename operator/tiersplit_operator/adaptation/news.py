"""What of a view is worth telling at once: a status write may follow."""

from dataclasses import dataclass

from tiersplit_operator.facts import AdaptationView

SHORTEST_S = 1.0
"""Between two tales: fleets of heads that come and go would tell something new ten times a second."""
DRIFT = 0.1


@dataclass(slots=True)
class News:
    """What was last told of one resource."""

    _told: AdaptationView | None = None
    _told_at: float = 0.0

    def wait_s(self, view: AdaptationView, now: float) -> float | None:
        """Seconds until `view` should be told; 0: it counts as told now; None: it says nothing else than the last one.

        Args:
            view: what there is to say.
            now: monotonic seconds.
        """
        if self._told is not None:
            if _words(self._told) == _words(view) and not _drifted(_numbers(self._told), _numbers(view)):
                return None
            if now - self._told_at < SHORTEST_S:
                return self._told_at + SHORTEST_S - now
        self._told, self._told_at = view, now
        return 0.0


def _words(view: AdaptationView) -> tuple[object, ...]:
    newest = view.moves[0] if view.moves else None
    said = (view.fallback, bool(view.recommendation), view.pin_problem, tuple(sorted(view.problems.items())))
    down = tuple(link.bandwidth_bps == 0 for link in view.links)
    return (
        view.bundle,
        view.selected,
        view.selectable,
        view.switching,
        tuple(sorted(view.nodes.items())),
        newest,
        said,
        down,
    )


def _numbers(view: AdaptationView) -> list[float]:
    links = [number for link in view.links for number in (link.bandwidth_bps, max(link.latency_s, 1e-3))]
    return [view.expected_s or 0.0, view.observed_s or 0.0, *links, *view.loads.values()]


def _drifted(before: list[float], now: list[float]) -> bool:
    if len(before) != len(now):
        return True
    return any(abs(b - a) > DRIFT * max(abs(a), abs(b)) for a, b in zip(before, now, strict=True))
