"""From what the aggregator knows to what it tells: a job's progress. Pure."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Self

from consilia.api import FederatedJob
from consilia.progress import BUDGET_SPENT, Ending, JobPhase, JobProgress, ModelProgress, PartProgress, PartState
from consilia.wire.messages import LeaveReason
from consilia_workers.rounds.reception import Reception
from consilia_workers.rounds.recovery import Standing

_WHY_LEFT: Mapping[LeaveReason, str] = {
    "TaskFailed": "its task failed: the trainer's log at the hospital says how",
    "DataUnavailable": "its data is missing or not what the task expects: the trainer's log there says more",
    "Diverged": "its training gave NaN or infinity",
    "Exhausted": BUDGET_SPENT,
    "LedgerDamaged": "its ledger was changed or rolled back: nothing is released there until somebody has looked",
    "Refused": "it refused what the aggregator said: another job, roster or model than it agreed to",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attended:
    """The hospitals, as they have shown themselves."""

    present: AbstractSet[str] = frozenset()
    arrived: AbstractSet[str] = frozenset()
    """Whose update for the open round is in."""
    evaluated: AbstractSet[str] = frozenset()
    """Who has answered about the newest model."""
    left: Mapping[str, LeaveReason] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    """Whose message was refused since the last round closed, and why, in words."""

    @classmethod
    def at(cls, reception: Reception) -> Self:
        """As they are at this moment."""
        return cls(
            present=frozenset(reception.present),
            arrived=frozenset(reception.arrived),
            evaluated=frozenset(reception.evaluated),
            left=dict(reception.left),
            refused={each.hospital: f"refused ({each.reason}): {each.message}" for each in reception.refused},
        )

    @classmethod
    def recorded(cls, standing: Standing) -> Self:
        """As the last closed round, and the job's end, left them."""
        last, finished = standing.last, standing.finished
        return cls(
            present=frozenset(last.present) if last else frozenset(),
            evaluated=finished.metrics.keys() if finished else frozenset(),
            left=last.left if last else {},
        )


def job_progress(job: FederatedJob, roster: Iterable[str], standing: Standing, attended: Attended) -> JobProgress:
    """The snapshot, without a version."""
    history = standing.history
    first = history.first_deadline
    return JobProgress(
        job=job.log_name,
        version=0,
        phase=_phase(standing),
        started=None if first is None else first - job.spec.rounds.deadline_seconds,
        round=standing.opened.round if standing.opened else standing.closed,
        rounds_completed=standing.closed,
        last_round_seconds=None if history.round_seconds is None else round(history.round_seconds, 3),
        updates_received=len(attended.arrived),
        deadline=history.deadline if standing.opened else None,
        extensions=standing.extensions,
        hospitals=tuple(_part(name, standing, attended) for name in sorted(roster)),
        metrics=dict(history.metrics),
        model=_model(standing),
        ending=_ending(standing),
    )


def _phase(standing: Standing) -> JobPhase:
    if standing.finished:
        return "Finished"
    if standing.evaluation:
        return "Evaluating"
    return "Training" if standing.opened or standing.closed else "Waiting"


def _model(standing: Standing) -> ModelProgress | None:
    if standing.last:
        return ModelProgress(digest=standing.last.model.sha256, round=standing.closed)
    return ModelProgress(digest=standing.opened.model.sha256, round=0) if standing.opened else None


def _ending(standing: Standing) -> Ending | None:
    finished = standing.finished
    if finished is None:
        return None
    return Ending(outcome=finished.outcome, reason=finished.reason, message=finished.message)


def _part(name: str, standing: Standing, attended: Attended) -> PartProgress:
    state, message = _state(name, standing, attended)
    return PartProgress(name=name, state=state, round=standing.history.counted.get(name), message=message)


def _state(name: str, standing: Standing, attended: Attended) -> tuple[PartState, str]:
    """Where a hospital stands, and why, if that is not as it should be."""
    if name in attended.left:
        return "Left", _WHY_LEFT[attended.left[name]]
    if name in attended.arrived | attended.evaluated:
        return "Sent", ""
    why = attended.refused.get(name) or standing.history.missed.get(name, "")
    if name not in attended.present:
        return ("Late", why) if why else ("Absent", "")
    if standing.finished or not standing.opened:
        return "Ready", ""
    if standing.extensions:
        return "Late", f"no update for round {standing.opened.round} by its deadline, which was moved"
    return "Training", ""
