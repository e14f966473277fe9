"""When a round may start and when it ends: pure rules over who is there and what has arrived."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

Rule = Literal["Drop", "Wait"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attendance:
    """An open round at one moment."""

    present: AbstractSet[str]
    """Hospitals that are there and have not left."""
    arrived: AbstractSet[str]
    """Hospitals whose update is in."""
    possible: int
    """How many hospitals can still contribute: the roster without those that left for good."""
    overdue: bool
    """Whether the deadline has passed."""
    extensions: int
    """How often it was moved already."""

    @property
    def missing(self) -> list[str]:
        """There, but without an update yet."""
        return sorted(self.present - self.arrived)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quorum:
    """The job's rules."""

    minimum_updates: int
    rule: Rule
    maximum_extensions: int

    def decide(self, attendance: Attendance) -> Literal["Collect", "Close", "Extend", "Fail"]:
        """Go on collecting, close the round, move its deadline, or fail the job.

        A round closes as soon as nobody is missing. At the deadline, Drop closes it without the stragglers if enough
        updates are in, Wait never does. Below quorum the deadline is moved a bounded number of times: never a silent
        hang; and when too many have left for good, nobody waits for a deadline.
        """
        if attendance.possible < self.minimum_updates:
            return "Fail"
        enough = len(attendance.arrived) >= self.minimum_updates
        if not attendance.missing and enough:
            return "Close"
        if not attendance.overdue:
            return "Collect"
        if enough and self.rule == "Drop":
            return "Close"
        return "Extend" if attendance.extensions < self.maximum_extensions else "Fail"
