"""What a trainer tells becomes progress and metrics."""

from consilia.api import FederatedJob
from consilia.progress import TrainerProgress, TrainerState
from consilia_workers.status.board import Board
from consilia_workers.status.trainer_metrics import Metrics


def starting(job: FederatedJob, hospital: str, attempts: int = 0) -> TrainerProgress:
    """A trainer that has not joined yet; `attempts` are those of earlier processes."""
    return TrainerProgress(job=job.log_name, hospital=hospital, version=0, state="Starting", attempts=attempts)


LAST_WORDS = 2.0
"""How long a trainer that ends waits for whoever follows it to hear so, in seconds."""


class TrainerStatus:
    """The observer of a trainer whose status is served."""

    def __init__(self, job: FederatedJob, progress: TrainerProgress, board: Board, metrics: Metrics) -> None:
        """`progress` is what the board shows."""
        self._progress, self._board, self._metrics = progress, board, metrics
        self._labels = job.metadata.name, progress.hospital
        self._dataset = job.spec.dataset
        gpus = job.spec.resources.gpu if job.spec.resources else 0
        metrics.begin(*self._labels, job.spec.dataset, gpus)

    def _tell(self, state: TrainerState, *, message: str = "", **changes: int) -> None:
        self._progress = self._progress.model_copy(update={"state": state, "message": message, **changes})
        self._board.post(self._progress)

    def waiting(self) -> None:
        """There is nothing to do until the aggregator says so."""
        self._tell("Waiting")

    def training(self, round_number: int, attempts: int) -> None:
        """A training begins; `attempts` counts all of this hospital in this job."""
        self._metrics.attempts.labels(*self._labels).inc()
        self._tell("Training", attempts=attempts, message=f"round {round_number}")

    def spent(self, epsilon: str | None) -> None:
        """The job has spent so much here; None where nothing is charged."""
        if epsilon is not None:
            self._metrics.epsilon.labels(*self._labels, self._dataset).set(float(epsilon))
            self._progress = self._progress.model_copy(update={"epsilon": epsilon})

    def trained(self, seconds: float) -> None:
        """It took so long."""
        self._metrics.training_seconds.labels(*self._labels).observe(seconds)

    def sending(self, round_number: int) -> None:
        """The update is made and on its way."""
        self._tell("Sending", message=f"round {round_number}")

    def sent(self, round_number: int) -> None:
        """The log has an update of this round."""
        if self._progress.state == "Sending":
            self._metrics.updates.labels(*self._labels).inc()
        self._tell(self._progress.state, round=max(round_number, self._progress.round))

    def finished(self) -> None:
        """This hospital's part is over."""
        self._tell("Finished")
        self._board.wait_until_told(LAST_WORDS)

    def exhausted(self, message: str) -> None:
        """The hospital's budget affords no more, or the job has spent what it promised."""
        self._tell("Exhausted", message=message[:1024])
        self._board.wait_until_told(LAST_WORDS)

    def failed(self, reason: str) -> None:
        """This hospital cannot go on: `reason` is the error's kind, its words may quote a record."""
        self._tell("Failed", message=reason)
        self._board.wait_until_told(LAST_WORDS)
