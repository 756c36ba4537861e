"""Which resources' own queries hang: they are asked apart from the others', and later and later up to a minute."""

from collections import OrderedDict
from dataclasses import dataclass

from tiersplit_operator.facts import Key
from tiersplit_operator.schedule import Backoff

RETRY = Backoff(first_s=15.0, most_s=60.0, jitter=0.0)
MAX_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class _Slow:
    failures: int = 0
    again_at: float = 0.0


class Slowness:
    """What is remembered of resources whose own queries took too long; of the others nothing is."""

    def __init__(self) -> None:
        self._slow: OrderedDict[Key, _Slow] = OrderedDict()

    def __contains__(self, key: Key) -> bool:
        """Whether its queries took too long when they were last asked."""
        return key in self._slow

    def hangs(self, key: Key) -> bool:
        """Whether they gave no answer at all then."""
        return key in self._slow and self._slow[key].failures > 0

    def wait_s(self, key: Key, now: float) -> float:
        """Seconds until its queries are asked again; 0: they may be asked."""
        slow = self._slow.get(key)
        return 0.0 if slow is None else max(slow.again_at - now, 0.0)

    def hung(self, key: Key, now: float) -> None:
        """They gave no answer in their time."""
        failures = self._slow.get(key, _Slow()).failures + 1
        self._remember(key, _Slow(failures, now + RETRY.seconds(failures, 0.0)))

    def answered(self, key: Key, *, swiftly: bool) -> None:
        """They did; those that took their time stay apart from the others, and are asked in each round."""
        if swiftly:
            self._slow.pop(key, None)
        else:
            self._remember(key, _Slow())

    def _remember(self, key: Key, slow: _Slow) -> None:
        self._slow[key] = slow
        self._slow.move_to_end(key)
        while len(self._slow) > MAX_REMEMBERED:
            self._slow.popitem(last=False)
