"""What of a view is worth telling at once: a status write may follow."""

from dataclasses import dataclass

from tiersplit_operator.facts import AdaptationView

SHORTEST_S = 1.0
"""Between two tales: fleets of heads that come and go would tell something new ten times a second."""
HEADS_S = 10.0
"""Between two tales of what heads do by themselves and of numbers: in a large fleet some head always moves."""
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
        pause_s = 0.0 if self._told is None else _pause_s(self._told, view)
        if pause_s is None:
            return None
        if now - self._told_at < pause_s:
            return self._told_at + pause_s - now
        self._told, self._told_at = view, now
        return 0.0


def _pause_s(told: AdaptationView, view: AdaptationView) -> float | None:
    """Seconds between the two at the least; None: they say the same."""
    if _words(told) != _words(view):
        return SHORTEST_S
    same = _heads(told) == _heads(view) and not _drifted(_numbers(told), _numbers(view))
    return None if same else HEADS_S


def _words(view: AdaptationView) -> tuple[object, ...]:
    said = (view.fallback, bool(view.recommendation), view.pin_problem, tuple(sorted(view.problems.items())))
    down = tuple(link.bandwidth_bps == 0 for link in view.links)
    return view.bundle, view.selected, view.selectable, view.switching, said, down


def _heads(view: AdaptationView) -> tuple[object, ...]:
    """The newest move, and how many heads use which plan; an operator's own move is another selected plan."""
    return tuple(sorted(view.nodes.items())), view.moves[:1]


def _numbers(view: AdaptationView) -> list[float]:
    links = [number for link in view.links for number in (link.bandwidth_bps, max(link.latency_s, 1e-3))]
    return [view.expected_s or 0.0, view.observed_s or 0.0, *links, *view.loads.values()]


def _drifted(before: list[float], now: list[float]) -> bool:
    if len(before) != len(now):
        return True
    return any(abs(b - a) > DRIFT * max(abs(a), abs(b)) for a, b in zip(before, now, strict=True))
