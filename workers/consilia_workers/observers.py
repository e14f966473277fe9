"""Who is told how a job goes on: nobody, unless the status is served."""

from typing import Protocol

from consilia_workers.rounds.reception import Reception
from consilia_workers.rounds.recovery import Standing


class JobObserver(Protocol):
    """What the aggregator tells, from its own thread; nothing here may take long."""

    def watch(self, reception: Reception) -> None:
        """Here is where the hospitals' messages come in."""

    def see(self, standing: Standing) -> None:
        """The job stands there now, and what came in was taken in."""


class TrainerObserver(Protocol):
    """What a trainer tells, from its own thread; nothing here may take long."""

    def waiting(self) -> None:
        """There is nothing to do until the aggregator says so."""

    def training(self, round_number: int, attempts: int) -> None:
        """A training begins; `attempts` counts all of this hospital in this job."""

    def spent(self, epsilon: str | None) -> None:
        """The job has spent so much here; None where nothing is charged."""

    def trained(self, seconds: float) -> None:
        """It took so long."""

    def sending(self, round_number: int) -> None:
        """The update is made and on its way."""

    def sent(self, round_number: int) -> None:
        """The log has an update of this round."""


class Unobserved:
    """Both, for nobody."""

    def watch(self, reception: Reception) -> None:
        """Nobody watches."""

    def see(self, standing: Standing) -> None:
        """Nobody sees."""

    def waiting(self) -> None:
        """Nobody asks."""

    def training(self, round_number: int, attempts: int) -> None:
        """Nobody asks."""

    def spent(self, epsilon: str | None) -> None:
        """Nobody asks."""

    def trained(self, seconds: float) -> None:
        """Nobody asks."""

    def sending(self, round_number: int) -> None:
        """Nobody asks."""

    def sent(self, round_number: int) -> None:
        """Nobody asks."""


UNOBSERVED = Unobserved()
