"""The aggregator of one job. `run` is the whole story.

It keeps no state outside the log. Kill it anywhere: it reads the log, repeats at most the open round from the updates
that are recorded there, and comes to the same bytes.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import inf
from pathlib import Path
from time import monotonic, time

from consilia.api import FederatedJob
from consilia.errors import BudgetError, FencedError, LogAccessError, PermanentError, QuorumError, TaskError
from consilia.log import Log, Transaction, topics
from consilia.wire.config_digest import config_digest
from consilia.wire.identity import Identity, Roster
from consilia.wire.layout import Layout
from consilia.wire.messages import (
    EvaluationOpened,
    FromAggregator,
    JobFinished,
    Metrics,
    Payload,
    RoundExtended,
    RoundOpened,
    encode,
)
from consilia.wire.payload import describe
from consilia_workers.model_reader import VERSION
from consilia_workers.observers import UNOBSERVED, JobObserver
from consilia_workers.rounds.combining import Combining, Stored, refuse_half_precision
from consilia_workers.rounds.metrics import asked, reached
from consilia_workers.rounds.outcome import outcome
from consilia_workers.rounds.quorum import Attendance, Quorum
from consilia_workers.rounds.reception import Reception
from consilia_workers.rounds.recovery import Standing, find_chunks, find_model, read_standing
from consilia_workers.strategies.choosing import choose

logger = logging.getLogger("consilia.aggregator")

_REMINDER = 30.0
"""How often a wait for hospitals is mentioned in the log output, in seconds."""


def run(aggregator: "Aggregator") -> JobFinished:
    """Bring the job to its end, from wherever the log says it stands.

    Raises:
        FencedError: another aggregator of this job has taken over.
        LogUnavailableError: the log cannot be reached; start again later.
        LogAccessError: the log does not let it in, or do what it must. That is no end of the job: in a cluster the
            operator sees to users and rules, and a broker that was killed may have forgotten them for some seconds.
    """
    try:
        if finished := aggregator.recover():
            return finished
        aggregator.await_quorum()
        while aggregator.rounds_left():
            opened = aggregator.open_round()
            if not aggregator.collect(opened):
                break
            aggregator.close_round(opened)
        return aggregator.succeed(aggregator.evaluate())
    except (FencedError, LogAccessError):
        raise
    except PermanentError as error:
        return aggregator.fail(error)


class Aggregator:
    """What the aggregator has at hand."""

    def __init__(
        self,
        job: FederatedJob,
        log: Log,
        identity: Identity,
        roster: Roster,
        make_initial: Callable[[], Path],
        observer: JobObserver = UNOBSERVED,
    ) -> None:
        """Takes over from any older aggregator of the job.

        `make_initial` gives the file of the initial model; it is called only if the log has no model yet.
        """
        self._spec, self._log, self._identity, self._roster = job.spec, log, identity, roster
        self._name = job.log_name
        self._config = config_digest(job)
        self._strategy = choose(job.spec.aggregation)
        self._quorum = Quorum(
            minimum_updates=max(job.spec.hospitals.min_updates, self._strategy.minimum_updates),
            rule=job.spec.rounds.on_straggler,
            maximum_extensions=job.spec.rounds.max_extensions,
        )
        self._end = monotonic() + (job.spec.run_policy.active_deadline_seconds or inf)
        self._own = [topics.rounds(self._name), topics.model(self._name), topics.state(self._name)]
        name = topics.aggregator(self._name)
        self._producer = log.producer(name, topics=self._own, group=name)
        self._make_initial, self._observer = make_initial, observer
        self._standing = Standing()
        self._model: Stored
        self._state: Mapping[str, Stored]
        """What the server optimizer keeps, by slot."""
        self._layout: Layout
        self._reception: Reception

    def recover(self) -> JobFinished | None:
        """Read from the log where the job stands, beginning it if it is new; its last word if that was spoken before.

        Raises:
            TaskError: the task gives no initial model, or none that the strategy can serve.
            RecordGoneError: the log has lost the model.
        """
        self._make_topics()
        self._standing = read_standing(self._log, self._name, self._identity.public())
        self._observer.see(self._standing)
        if self._standing.finished:
            return self._standing.finished
        self._publish_initial()
        self._model, self._layout = self._find_model()
        self._state = find_chunks(self._log, topics.state(self._name), self._standing.closed)
        refuse_half_precision(self._strategy, self._layout)
        self._reception = Reception(
            self._log, self._name, self._roster, self._layout, config_digest=self._config, standing=self._standing
        )
        # Whoever has waited once is told of news; who only ever reads looks each time where they might be.
        self._reception.wait(0)
        self._observer.watch(self._reception)
        self._read(self._standing.opened)
        return None

    def _read(self, opened: RoundOpened | None) -> None:
        self._reception.read(opened)
        self._observer.see(self._standing)

    def _make_topics(self) -> None:
        self._log.create_topic(topics.rounds(self._name))
        self._log.create_topic(topics.model(self._name), compacted=True)
        self._log.create_topic(topics.state(self._name), compacted=True)
        for hospital in self._roster.hospitals:
            self._log.create_topic(topics.up(hospital, self._name))

    def _publish_initial(self) -> None:
        topic = topics.model(self._name)
        # Not by the topic's end: a transaction that was aborted may have moved it.
        if self._standing.closed or find_chunks(self._log, topic, 0):
            return
        path = self._make_initial()
        with self._producer.transaction() as transaction:
            transaction.append_file(topic, path, key_prefix="model", headers={VERSION: "0"})
        path.unlink()

    def _find_model(self) -> tuple[Stored, Layout]:
        stored = find_model(self._log, self._name, self._standing.closed)
        head = bytearray()
        for index in range(len(stored.offsets)):
            head += stored.chunk(self._log, index)
            if len(head) >= 8 + int.from_bytes(head[:8], "little"):
                break
        layout = Layout.parse(head)
        size = sum(len(stored.chunk(self._log, index)) for index in range(len(stored.offsets)))
        if size != layout.size:
            raise TaskError(f"the model's file has {size} bytes, but its header announces {layout.size}.")
        return stored, layout

    def await_quorum(self) -> None:
        """Wait until enough hospitals are there for the first round.

        Raises:
            QuorumError: too many have left, or the job's own time is over.
        """
        needed = self._spec.hospitals.min_ready
        while self._standing.closed == 0 and self._standing.opened is None and len(self._reception.present) < needed:
            missing = sorted(set(self._roster.hospitals) - self._reception.present)
            if self._reception.possible < needed:
                there = len(self._roster.hospitals)
                message = f"{needed} hospitals are needed to start, and the roster has {there}.{self._gone()}"
                raise QuorumError(message, remedy="Lower hospitals.minReady, or see why they left.")
            self._refuse_overtime(f"waiting for {', '.join(missing)}")
            logger.info("%d of %d hospitals are there; waiting for %s", len(self._reception.present), needed, missing)
            self._reception.wait(self._patience(_REMINDER))
            self._read(None)

    def _gone(self) -> str:
        left = ", ".join(f"{name} left ({reason})" for name, reason in sorted(self._reception.left.items()))
        return f" {left}." if left else ""

    def _refuse_overtime(self, doing: str) -> None:
        if monotonic() >= self._end:
            message = f"{self._name} ran longer than its runPolicy.activeDeadlineSeconds while {doing}."
            raise QuorumError(message, remedy="Allow more time, or see why the hospitals are late.")

    def _patience(self, seconds: float) -> float:
        """How long the next wait may last: never past the job's own end, and a reminder is due now and then."""
        return min(seconds, _REMINDER, self._end - monotonic())

    def rounds_left(self) -> bool:
        """Whether another round is to come: not all done, and no stop condition met."""
        last = self._standing.last
        stop = last is not None and reached(last.metrics, self._spec.evaluation.stop_when)
        return self._standing.closed < self._spec.rounds.count and not stop and not self._exhausted()

    def _exhausted(self) -> bool:
        """Whether a hospital's budget is spent, and the job is to stop for all then.

        Raises:
            BudgetError: it was spent before there was any round.
        """
        privacy = self._spec.privacy
        stops = privacy is not None and privacy.on_exhausted == "StopJob"
        spent = sorted(name for name, reason in self._reception.left.items() if reason == "Exhausted")
        if stops and spent and self._standing.closed == 0:
            message = f"the privacy budget of {', '.join(spent)} affords no round, and the job is to stop for all then."
            raise BudgetError(message, remedy="Ask for less, or set privacy.onExhausted to DropHospital.")
        return stops and bool(spent)

    def open_round(self) -> RoundOpened:
        """Announce the next round, or go on with the one that was open before a restart."""
        if self._standing.opened is None:
            self._say(
                RoundOpened(
                    job=self._name,
                    round=self._standing.closed + 1,
                    model=self._model_payload(),
                    config_digest=self._config,
                    roster_digest=self._roster.digest(),
                    hospitals=sorted(self._reception.present),
                    deadline=self._from_now(),
                )
            )
        else:
            self._resume()
        assert self._standing.opened is not None
        return self._standing.opened

    def _resume(self) -> None:
        self._standing = self._standing.resumed(self._from_now())
        self._observer.see(self._standing)

    def _from_now(self) -> float:
        """The deadline of what is opened now, or was open before a restart: nobody could be heard meanwhile."""
        return time() + self._spec.rounds.deadline_seconds

    def _model_payload(self) -> Payload:
        if self._standing.last:
            return self._standing.last.model
        return describe(self._model.chunk(self._log, index) for index in range(self._layout.chunks))

    def collect(self, opened: RoundOpened) -> bool:
        """Take in updates until the rules say that the round may close; False if it is given up, and the job ends.

        Raises:
            QuorumError: the rules say that it cannot.
        """
        deadline = monotonic() + self._spec.rounds.deadline_seconds
        while True:
            self._read(opened)
            if self._exhausted():
                return False
            attendance = self._attendance(overdue=monotonic() >= deadline)
            match self._quorum.decide(attendance):
                case "Close":
                    return True
                case "Fail":
                    raise QuorumError(self._why(opened, attendance))
                case "Extend":
                    deadline = monotonic() + self._spec.rounds.deadline_seconds
                    self._extend(opened, attendance)
                case "Collect":
                    self._refuse_overtime(f"waiting in round {opened.round} for {', '.join(attendance.missing)}")
                    self._reception.wait(self._patience(deadline - monotonic()))

    def _attendance(self, *, overdue: bool) -> Attendance:
        return Attendance(
            present=self._reception.present,
            arrived=self._reception.arrived.keys(),
            possible=self._reception.possible,
            overdue=overdue,
            extensions=self._standing.extensions,
        )

    def _why(self, opened: RoundOpened, attendance: Attendance) -> str:
        absent = sorted(set(self._roster.hospitals) - attendance.arrived)
        return (
            f"round {opened.round} of {self._name} has {len(attendance.arrived)} of {self._quorum.minimum_updates} "
            f"updates after {attendance.extensions} extensions; missing: {', '.join(absent)}.{self._gone()}"
        )

    def _extend(self, opened: RoundOpened, attendance: Attendance) -> None:
        missing = attendance.missing or sorted(self._roster.hospitals.keys() - attendance.arrived)
        extension = attendance.extensions + 1
        logger.warning("round %d: extension %d, still missing: %s", opened.round, extension, ", ".join(missing))
        self._say(RoundExtended(
            job=self._name, round=opened.round, missing=missing, extension=extension, deadline=self._from_now(),
        ))  # fmt: skip

    def close_round(self, opened: RoundOpened) -> None:
        """Combine the updates and publish the result; model, message and consumed offsets in one transaction."""
        started, reception = monotonic(), self._reception
        dropped = reception.drop_missing()
        combining = Combining(self._log, self._layout, self._strategy, self._model, list(reception.arrived.values()))
        with self._producer.transaction() as transaction:
            model = self._publish(transaction, combining, opened.round)
            seconds = {"aggregate": round(monotonic() - started, 4)}
            metrics = self._spec.evaluation.reported()
            closed = outcome(opened, model, reception, metrics=metrics, dropped=dropped, seconds=seconds)
            value, headers = encode(closed, self._identity)
            transaction.append(topics.rounds(self._name), value, headers=headers)
            self._settle(transaction)
        reception.end_round(closed.model.sha256)
        self._standing = self._standing.after(closed, time())
        self._model = Stored(topic=self._model.topic, offsets=transaction.appended(self._model.topic))
        self._state = self._split(transaction.appended(topics.state(self._name)))
        self._observer.see(self._standing)
        logger.info("round %d closed with %d updates", opened.round, len(closed.cohort))

    def _publish(self, transaction: Transaction, combining: Combining, version: int) -> Payload:
        """Append the new model, and the server optimizer's state, as they are computed."""
        append = partial(transaction.append, headers={VERSION: str(version)}, keep=self._strategy.optimizer is not None)

        def chunks() -> Iterator[bytearray]:
            for index, chunk in enumerate(combining.chunks(self._state or None)):
                append(topics.model(self._name), memoryview(chunk.model), key=f"model/{index}")
                for slot, value in chunk.state.items():
                    append(topics.state(self._name), value, key=f"{slot}/{index}")
                yield chunk.model

        return describe(chunks())

    def _split(self, offsets: Sequence[int]) -> Mapping[str, Stored]:
        """Where each slot's chunks lie, of a state that `_publish` appended: one of each slot in turn."""
        slots = self._strategy.optimizer.slots if self._strategy.optimizer else ()
        topic = topics.state(self._name)
        return {slot: Stored(topic=topic, offsets=offsets[n :: len(slots)]) for n, slot in enumerate(slots)}

    def _settle(self, transaction: Transaction) -> None:
        """What is dealt with is committed, and its payloads are let go: the record keeps their digests."""
        for inbox in self._reception.inboxes.values():
            transaction.commit_offset(topics.aggregator(self._name), inbox.topic, inbox.position)
            transaction.trim(inbox.topic, inbox.position)

    def _let_go(self, transaction: Transaction) -> None:
        """Older models and states are replaced: nobody needs to read past them to find the newest."""
        transaction.trim(self._model.topic, self._model.offsets[0])
        if self._state:
            transaction.trim(topics.state(self._name), min(slot.offsets[0] for slot in self._state.values()))

    def evaluate(self) -> dict[str, Metrics]:
        """The final model's metrics, hospital by hospital; who does not answer in time is left out."""
        if self._standing.evaluation is None:
            self._say(EvaluationOpened(
                job=self._name, round=self._standing.closed, model=self._model_payload(),
                hospitals=sorted(self._reception.present), deadline=self._from_now(),
            ))  # fmt: skip
        else:
            self._resume()
        deadline = min(monotonic() + self._spec.rounds.deadline_seconds, self._end)
        while self._reception.present - self._reception.evaluated.keys() and monotonic() < deadline:
            self._reception.wait(self._patience(deadline - monotonic()))
            self._read(None)
        names = self._spec.evaluation.reported()
        return {name: asked(answer.metrics, names) for name, answer in sorted(self._reception.evaluated.items())}

    def succeed(self, metrics: Mapping[str, Metrics]) -> JobFinished:
        """The last word of a job that did what it was asked for."""
        return self._finish(JobFinished(
            job=self._name, outcome="Succeeded", reason=self._reason(), rounds=self._standing.closed,
            model=self._model_payload(), metrics=dict(metrics),
        ))  # fmt: skip

    def _reason(self) -> str:
        if self._standing.closed == self._spec.rounds.count:
            return "AllRounds"
        return "BudgetExhausted" if self._exhausted() else "StopCondition"

    def fail(self, error: PermanentError) -> JobFinished:
        """The last word of a job that could not go on; the model of the last closed round stays."""
        logger.error("%s failed: %s", self._name, error)
        return self._finish(JobFinished(
            job=self._name, outcome="Failed", reason=type(error).__name__.removesuffix("Error"),
            message=str(error)[:1024], rounds=self._standing.closed,
            model=self._standing.last.model if self._standing.last else None,
        ))  # fmt: skip

    def _finish(self, finished: JobFinished) -> JobFinished:
        self._say(finished)
        for topic in self._own:  # seen through: nobody will be here to see to it later
            self._log.end_offset(topic)
        return finished

    def _say(self, message: FromAggregator) -> None:
        value, headers = encode(message, self._identity)
        with self._producer.transaction() as transaction:
            transaction.append(topics.rounds(self._name), value, headers=headers)
            if isinstance(message, RoundOpened):
                self._let_go(transaction)
        self._standing = self._standing.after(message, time())
        self._observer.see(self._standing)
