"""Whether the program's main thread still comes round, as it said that it would."""

from math import inf
from time import monotonic


class Pulse:
    """Without a promise nothing is overdue: nobody can say how long a training may take."""

    def __init__(self) -> None:
        self._due = inf

    def promise(self, seconds: float) -> None:
        """The next sign of life comes within so many seconds; `inf` promises nothing."""
        self._due = monotonic() + seconds

    def overdue(self) -> float:
        """By how many seconds the last promise is broken; 0 while it is not."""
        return max(0.0, monotonic() - self._due)
