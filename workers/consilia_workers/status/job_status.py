"""What the aggregator tells becomes progress, metrics and a pulse."""

from collections import Counter
from math import inf
from time import time

from consilia.api import FederatedJob
from consilia.errors import Refusal
from consilia.progress import JobProgress
from consilia.wire.identity import Roster
from consilia.wire.messages import RoundClosed
from consilia_workers.rounds.reception import Reception
from consilia_workers.rounds.recovery import Standing
from consilia_workers.status.aggregator_metrics import PARTS, Metrics
from consilia_workers.status.board import Board
from consilia_workers.status.job_progress import Attended, job_progress
from consilia_workers.status.phases import RoundTimes, phases
from consilia_workers.status.pulse import Pulse

_TURN = 900.0
"""An aggregator that waits looks up twice a minute; combining the largest models takes minutes, in seconds."""

_MISSED = frozenset({"Late", "Absent"})


class JobStatus:
    """The observer of an aggregator whose status is served."""

    def __init__(self, job: FederatedJob, roster: Roster, board: Board, metrics: Metrics, pulse: Pulse) -> None:
        """Nothing is known yet."""
        self._job, self._roster = job, roster
        self._board, self._pulse = board, pulse
        self._meter = JobMeter(job, metrics)
        self._reception: Reception | None = None

    def watch(self, reception: Reception) -> None:
        """Here is where the hospitals' messages come in."""
        self._reception = reception

    def rest(self) -> None:
        """The job is over: what was needed to follow it may go."""
        self._reception = None

    def see(self, standing: Standing) -> None:
        """The job stands there now, and what came in was taken in."""
        if self._reception is None and not standing.finished:
            return  # still starting: who is there is not known yet
        self._pulse.promise(inf if standing.finished else _TURN)
        reception = self._reception
        attended = Attended.at(reception) if reception else Attended.recorded(standing)
        progress = job_progress(self._job, self._roster.hospitals, standing, attended)
        if reception:
            self._meter.received(standing, reception, time())
        self._meter.moved(standing, progress)
        self._board.post(progress)


class JobMeter:
    """From one moment to the next: what has changed is counted."""

    def __init__(self, job: FederatedJob, metrics: Metrics) -> None:
        """Every series that can be known begins now."""
        self._job, self._metrics = job.metadata.name, metrics
        metrics.begin(self._job, job.spec.rounds.count)
        self._before: Standing | None = None
        self._times: RoundTimes | None = None
        self._refusals: Counter[Refusal] = Counter()

    def received(self, standing: Standing, reception: Reception, now: float) -> None:
        """Count what came in since the last call."""
        for reason, count in (reception.refusals - self._refusals).items():
            self._metrics.rejected.labels(self._job, reason).inc(count)
        self._refusals = reception.refusals.copy()
        if standing.opened is None:
            return
        if self._times is None:
            # At the first sight of a job its round may be an old one: what had arrived when, nobody knows any more.
            self._times = RoundTimes(opened=standing.history.opened or now, whole=self._before is not None)
        for name in self._times.look(reception.arrived, now):
            self._metrics.update_bytes.labels(self._job, "received").inc(reception.arrived[name].update.payload.size)

    def moved(self, standing: Standing, progress: JobProgress) -> None:
        """Count the steps since the last call, and show where the job stands."""
        before, self._before = self._before, standing
        if before and standing.last and standing.closed > before.closed:
            self._close(standing.last, standing.history.round_seconds or 0.0)
        if before and standing.finished and before.opened and standing.closed == before.closed:
            self._metrics.rounds.labels(self._job, "Failed").inc()
        self._show(progress)

    def _close(self, closed: RoundClosed, seconds: float) -> None:
        m, job = self._metrics, self._job
        m.rounds.labels(job, "Partial" if closed.dropped else "Complete").inc()
        m.update_bytes.labels(job, "sent").inc(closed.model.size)
        m.round_seconds.labels(job).observe(seconds)
        times, self._times = self._times, None
        trained = {each.hospital: each.train_seconds for each in closed.cohort}
        for phase, part in (phases(times, trained, seconds) if times and times.whole else {}).items():
            m.phase_seconds.labels(job, phase).observe(part)

    def _show(self, progress: JobProgress) -> None:
        self._metrics.round.labels(self._job).set(progress.round)
        self._metrics.deadline.labels(self._job).set(progress.deadline or 0)
        # Nobody waits for hospitals when the job is over.
        states = Counter(part.state for part in progress.hospitals if not (progress.ending and part.state in _MISSED))
        for state in PARTS:
            self._metrics.participants.labels(self._job, state).set(states[state])
        for name, value in progress.metrics.items():
            self._metrics.metric.labels(self._job, name).set(value)
