"""How soon to look again at what stays as it is: later and later, until something is different."""

from dataclasses import dataclass


@dataclass(slots=True)
class Pauses:
    """The pauses between looks that find the same: each is twice as long as the one before.

    Attributes:
        most_s: the longest.
    """

    most_s: float
    _found: object = None
    _next_s: float = 0.0

    def after(self, found: object, first_s: float) -> float:
        """Seconds until the next look.

        Args:
            found: what this look found; something else than before begins anew.
            first_s: the first pause, in seconds; it may be longer than `most_s`.
        """
        again = self._next_s > 0 and found == self._found
        wait_s = max(min(self._next_s, self.most_s), first_s) if again else first_s
        self._found, self._next_s = found, 2 * wait_s
        return wait_s

    def forget(self) -> None:
        """The next pause is a first one."""
        self._next_s = 0.0
