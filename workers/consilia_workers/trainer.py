"""One hospital's part in one job: follow the log, and for each open round train and send. `run` is the whole story.

Nothing leaves the hospital but signed messages and the trained parameters. Kill this process anywhere: it comes back,
sends the same bytes again if the update was already made, or trains the round again if not: from the same seed, or
under differential privacy as another attempt, which the hospital's ledger charges anew.
"""

import logging
from collections.abc import Iterator
from time import monotonic

from consilia import __version__
from consilia.api import FederatedJob
from consilia.errors import FencedError, RecordGoneError, Refusal, RefusedMessage, TaskError, TemporaryError
from consilia.ledger.chain import Head
from consilia.log import Log, topics
from consilia.wire.config_digest import config_digest
from consilia.wire.identity import Roster
from consilia.wire.messages import (
    Evaluated,
    EvaluationOpened,
    JobFinished,
    Joined,
    LedgerHead,
    Payload,
    RoundClosed,
    RoundExtended,
    RoundOpened,
    Update,
)
from consilia_workers.figures import OpenMetrics
from consilia_workers.learning import Learning
from consilia_workers.model_reader import ModelReader
from consilia_workers.observers import UNOBSERVED, TrainerObserver
from consilia_workers.outbox import Outbox, Sealed
from consilia_workers.rounds_reader import RoundsReader
from consilia_workers.uplink import Uplink

logger = logging.getLogger("consilia.trainer")

_PATIENCE = 3600.0
"""How long one wait for news may last, in seconds; only a bound, the next wait follows."""


def run(trainer: "Trainer") -> JobFinished:
    """Take part in the job until the aggregator says that it is finished.

    Raises:
        PermanentError: this hospital cannot go on; the others have been told that it left.
        FencedError: another trainer of this hospital has taken over.
        TemporaryError: the log cannot be reached; start again later.
    """
    try:
        trainer.join()
        for event in trainer.follow():
            match event:
                case RoundOpened():
                    trainer.take_part(event)
                case EvaluationOpened():
                    trainer.report(event)
                case JobFinished():
                    return event
    except (FencedError, TemporaryError):
        raise
    except Exception as error:
        trainer.uplink.leave(error)
        raise
    raise AssertionError("following ends with JobFinished")


class Trainer:
    """What a hospital has at hand in a job."""

    def __init__(
        self,
        job: FederatedJob,
        learning: Learning,
        log: Log,
        uplink: Uplink,
        roster: Roster,
        outbox: Outbox,
        observer: TrainerObserver = UNOBSERVED,
    ) -> None:
        """`learning` already has the hospital's data."""
        self._job, self._learner, self._log = job, learning.learner, log
        self.uplink, self._outbox, self._observer = uplink, outbox, observer
        self._spending, self._metrics = learning.spending, learning.metrics or OpenMetrics(job, learning.learner)
        self._name = job.log_name
        self._rounds = RoundsReader(log, self._name, roster.aggregator)
        self._models = ModelReader(log, topics.model(self._name), learning.learner.layout)
        self._config, self._roster_digest = config_digest(job), roster.digest()
        self.final: bytearray | None = None
        """The final model, once it was judged."""

    def join(self) -> None:
        """Say that we are here, and what we have."""
        self.uplink.say(
            Joined(
                job=self._name,
                hospital=self.uplink.hospital,
                config_digest=self._config,
                roster_digest=self._roster_digest,
                samples=self._learner.samples(),
                version=__version__,
            )
        )
        logger.info("joined %s with %d records", self._name, self._learner.samples())

    def follow(self) -> Iterator[RoundOpened | EvaluationOpened | JobFinished]:
        """What there is to do now, skipping what is over; ends after `JobFinished`."""
        while True:
            current: RoundOpened | EvaluationOpened | JobFinished | None = None
            for heard in self._rounds.news():
                match heard.message:
                    case RoundClosed() as closed:
                        self._settle(closed)
                        current = None
                    case RoundExtended():
                        pass
                    case asks:
                        current = asks
            if current:
                yield current
            if isinstance(current, JobFinished):
                return
            self._observer.waiting()
            self._log.wait({self._rounds.topic: self._rounds.offset}, _PATIENCE)

    def _settle(self, closed: RoundClosed) -> None:
        for refused in closed.refused:
            if refused.hospital == self.uplink.hospital:
                logger.warning("our message in round %d was refused: %s", closed.round, refused.message)
        if self._counted_in(closed):
            self._observer.sent(closed.round)
        for counted in closed.cohort:
            if counted.hospital == self.uplink.hospital and counted.ledger:
                self._spending.witness(Head(counted.ledger.entries, counted.ledger.digest))
        self._own_up(closed)
        self._outbox.forget(closed.round)

    def _own_up(self, closed: RoundClosed) -> None:
        """An update that was made while the log was away is of no use any more: its header says so, and is recorded."""
        late = self._outbox.unsent(closed.round)
        if late and not self._counted_in(closed):
            logger.warning("round %d was closed before our update could be sent; it counts as stale", closed.round)
            self.uplink.say(late)

    def _counted_in(self, closed: RoundClosed) -> bool:
        return self.uplink.hospital in [counted.hospital for counted in closed.cohort]

    def take_part(self, opened: RoundOpened) -> None:
        """Check the offer, train unless the update lies in the outbox already, send unless it was sent."""
        self._check(opened)
        if self.uplink.hospital not in opened.hospitals:
            self.join()  # dropped while we were away or late: without a sign of life the round would not wait for us
        try:
            sealed = self._outbox.find(opened) or self._train(opened)
        except RecordGoneError:
            logger.info("round %d was over before its model was read", opened.round)
            return
        if not sealed.sent:
            self._spending.commit(sealed.reservation, sealed.update.payload.sha256)
            self._observer.sending(opened.round)
            self.uplink.send(sealed.update, sealed.payload)
            self._outbox.mark_sent(sealed)
        self._observer.sent(opened.round)

    def _check(self, opened: RoundOpened) -> None:
        if (opened.config_digest, opened.roster_digest) != (self._config, self._roster_digest):
            what = "configuration" if opened.config_digest != self._config else "roster"
            message = (
                f"round {opened.round} of {self._name} was opened with another {what} than this hospital agreed to."
            )
            raise RefusedMessage(Refusal.WRONG_JOB, message, remedy="Give all parties the same job and roster.")

    def _train(self, opened: RoundOpened) -> Sealed:
        begun = self._outbox.begin(opened.round)
        self._observer.training(opened.round, begun.total)
        model = self._models.read(opened.model, opened.round - 1)
        metrics = self._judged(opened, model)
        reservation = self._spending.reserve(opened.round, "Training")
        self._observer.spent(self._spending.epsilon())
        started = monotonic()
        trained = self._learner.train(opened.round, model)
        sealed = self._outbox.seal(
            trained,
            lambda payload: Update(
                job=self._name,
                hospital=self.uplink.hospital,
                round=opened.round,
                base_digest=opened.model.sha256,
                config_digest=self._config,
                roster_digest=self._roster_digest,
                samples=self._learner.samples(),
                payload=self._complete(payload),
                metrics=metrics,
                image_digest=self._image(),
                train_seconds=0.0 if self._job.spec.privacy else round(monotonic() - started, 3),
                epsilon=self._spending.epsilon(),
                ledger=self._ledger_head(),
            ),
            reservation,
        )
        seconds = monotonic() - started
        self._observer.trained(seconds)
        logger.info("trained round %d, attempt %d, in %.2f s", opened.round, begun.attempt, seconds)
        return sealed

    def _ledger_head(self) -> LedgerHead | None:
        head = self._spending.head()
        return LedgerHead(entries=head.entries, digest=head.digest) if head else None

    def _complete(self, payload: Payload) -> Payload:
        if payload.size != self._learner.layout.size:
            message = f"the trained model has {payload.size} bytes, its layout {self._learner.layout.size}."
            raise TaskError(message, remedy="Let the learner's train() give the whole file.")
        return payload

    def _judged(self, opened: RoundOpened, model: bytearray) -> dict[str, float]:
        every = self._job.spec.evaluation.every_rounds
        return self._metrics.of(model, opened.round - 1) if every and (opened.round - 1) % every == 0 else {}

    def _image(self) -> str | None:
        image = self._job.spec.task.image
        return image.rpartition("@")[2] if image else None

    def report(self, opened: EvaluationOpened) -> None:
        """Send the final model's metrics."""
        model = self._models.read(opened.model, opened.round)
        self.uplink.say(
            Evaluated(
                job=self._name,
                hospital=self.uplink.hospital,
                round=opened.round,
                model_digest=opened.model.sha256,
                metrics=self._metrics.of(model, opened.round),
            )
        )
        self.final = model
