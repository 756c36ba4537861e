"""kopf's wait until everything is indexed, in time that grows with the objects and not with their square.

At the start kopf has each object that it lists wait for all others, and wakes all that wait whenever one is done: ten
thousand objects make fifty million wake-ups, and meanwhile nothing else in the process gets a turn.
"""

from collections.abc import Iterable

from kopf._cogs.aiokits import aiotoggles


class Toggles(aiotoggles.ToggleSet):
    """kopf's own, except that those who wait are woken only where what they wait for may have come."""

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
        if self.is_on() != was_on:
            self._condition.notify_all()


def wait_in_linear_time() -> None:
    """Have kopf make its sets of toggles so; it offers no other way."""
    aiotoggles.ToggleSet = Toggles  # type: ignore[misc]
