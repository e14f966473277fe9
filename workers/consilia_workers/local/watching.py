"""Follows a job from outside: what the rounds topic says becomes events for people and for the report."""

from collections.abc import Iterator

from consilia.log import Log
from consilia.wire.identity import PublicKey
from consilia.wire.messages import EvaluationOpened, JobFinished, RoundClosed, RoundExtended, RoundOpened
from consilia_workers.report.results import RefusedResult, RoundResult
from consilia_workers.rounds_reader import Heard, RoundsReader

__all__ = ["Heard", "Watch"]


class Watch(RoundsReader):
    """Reads the rounds topic as it grows, and keeps what the report needs."""

    def __init__(self, log: Log, job: str, key: PublicKey) -> None:
        super().__init__(log, job, key)
        self._opened: dict[int, float] = {}
        self.first_opened: float | None = None
        """When round 1 was opened."""
        self.rounds: list[RoundResult] = []
        self.last_heard = 0.0
        self.finished: JobFinished | None = None

    def news(self) -> Iterator[Heard]:
        """What was said since the last call."""
        for heard in super().news():
            self._note(heard)
            yield heard

    def _note(self, heard: Heard) -> None:
        self.last_heard = heard.timestamp
        match heard.message:
            case RoundOpened() as opened:
                self._opened[opened.round] = heard.timestamp
                self.first_opened = self.first_opened or heard.timestamp
            case RoundClosed() as closed:
                self.rounds.append(_result(closed, heard.timestamp - self._opened.pop(closed.round, heard.timestamp)))
            case JobFinished() as finished:
                self.finished = finished
            case RoundExtended() | EvaluationOpened():
                pass


def _result(closed: RoundClosed, seconds: float) -> RoundResult:
    return RoundResult(
        round=closed.round,
        seconds=seconds,
        aggregate_seconds=closed.seconds.get("aggregate", 0.0),
        received_bytes=closed.received_bytes,
        metrics=closed.metrics,
        hospitals={update.hospital: update.metrics for update in closed.cohort if update.metrics},
        train_seconds={update.hospital: update.train_seconds for update in closed.cohort},
        samples={update.hospital: update.samples for update in closed.cohort},
        epsilon={update.hospital: float(update.epsilon) for update in closed.cohort if update.epsilon},
        dropped=list(closed.dropped),
        refused=[
            RefusedResult(hospital=refused.hospital, reason=refused.reason, message=refused.message)
            for refused in closed.refused
        ],
    )
