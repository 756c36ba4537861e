"""kopf's wait until everything is indexed: when it is over, and in time that grows with the objects, not their square.

At the start kopf has each object that it lists wait for all others, and wakes all that wait whenever one is done: ten
thousand objects make fifty million wake-ups, and meanwhile nothing else in the process gets a turn.
"""

from collections.abc import Callable, Iterable

from kopf._cogs.aiokits import aiotoggles


class Toggles(aiotoggles.ToggleSet):
    """kopf's own, except that those who wait are woken only where what they wait for may have come.

    Args:
        fn: makes the set's state of its toggles' states.
        told: called whenever the set's state becomes on.
    """

    def __init__(self, fn: Callable[[Iterable[bool]], bool], told: Callable[[], object] = lambda: None) -> None:
        super().__init__(fn)
        self._told = told

    async def make_toggle(self, __val: bool = False, *, name: str | None = None) -> aiotoggles.Toggle:
        """Another toggle of this set."""
        toggle = aiotoggles.Toggle(__val, name=name, condition=self._condition)
        async with self._condition:
            was_on = self.is_on()
            self._toggles.add(toggle)
            self._tell(was_on)
        return toggle

    async def drop_toggle(self, toggle: aiotoggles.Toggle) -> None:
        """One toggle less."""
        await self.drop_toggles([toggle])

    async def drop_toggles(self, toggles: Iterable[aiotoggles.Toggle]) -> None:
        """So many toggles less."""
        async with self._condition:
            was_on = self.is_on()
            self._toggles.difference_update(toggles)
            self._tell(was_on)

    def _tell(self, was_on: bool) -> None:
        if self.is_on() == was_on:
            return
        self._condition.notify_all()
        if not was_on:
            self._told()


def wait_in_linear_time(indexed: Callable[[], object]) -> None:
    """Have kopf make its sets of toggles so; it offers no other way.

    Args:
        indexed: told once all that kopf's lists showed is in its indexes.
    """

    def made(fn: Callable[[Iterable[bool]], bool]) -> Toggles:
        # The only set whose toggles must all be on is that of what is indexed.
        return Toggles(fn, indexed) if fn is all else Toggles(fn)

    aiotoggles.ToggleSet = made  # type: ignore[assignment, misc]
