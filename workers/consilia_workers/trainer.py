"""One hospital's part in one job: follow the log, and for each open round train and send. `run` is the whole story.

Nothing leaves the hospital but signed messages and the trained parameters. Kill this process anywhere: it comes back,
sends the same bytes again if the update was already made, or trains the round again from the same seed if not.
"""

import logging
from collections.abc import Iterator, Sequence
from time import monotonic

from consilia import __version__
from consilia.api import FederatedJob
from consilia.errors import FencedError, RecordGoneError, Refusal, RefusedMessage, TemporaryError
from consilia.log import Log, topics
from consilia.wire.identity import Roster
from consilia.wire.messages import (
    Evaluated,
    EvaluationOpened,
    FromAggregator,
    JobFinished,
    Joined,
    RoundClosed,
    RoundOpened,
    Update,
    from_aggregator,
)
from consilia_workers.learner import Learner
from consilia_workers.model_reader import ModelReader
from consilia_workers.outbox import Outbox, Sealed
from consilia_workers.settings import config_digest
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
        self, job: FederatedJob, learner: Learner, log: Log, uplink: Uplink, roster: Roster, outbox: Outbox
    ) -> None:
        """`learner` already has the hospital's data."""
        self._job, self._learner, self._log, self._roster = job, learner, log, roster
        self.uplink, self._outbox = uplink, outbox
        self._name, self._rounds = job.metadata.name, topics.rounds(job.metadata.name)
        self._models = ModelReader(log, topics.model(self._name), learner.layout)
        self._config, self._roster_digest = config_digest(job), roster.digest()

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
        offset = 0
        while True:
            current: FromAggregator | None = None
            while records := self._log.read(self._rounds, offset):
                offset = records[-1].offset + 1
                messages = [from_aggregator(r, key=self._roster.aggregator, job=self._name) for r in records]
                current = self._newest([current, *messages])
            if isinstance(current, RoundOpened | EvaluationOpened | JobFinished):
                yield current
                if isinstance(current, JobFinished):
                    return
            self._log.wait({self._rounds: offset}, _PATIENCE)

    def _newest(self, messages: Sequence[FromAggregator | None]) -> FromAggregator | None:
        """The last message that asks for something and is not over; a closed round's outbox is emptied on the way."""
        current: FromAggregator | None = None
        for message in messages:
            match message:
                case RoundOpened() | EvaluationOpened() | JobFinished():
                    current = message
                case RoundClosed():
                    self._settle(message)
                    current = None
        return current

    def _settle(self, closed: RoundClosed) -> None:
        for refused in closed.refused:
            if refused.hospital == self.uplink.hospital:
                logger.warning("our message in round %d was refused: %s", closed.round, refused.message)
        self._outbox.forget(closed.round)

    def take_part(self, opened: RoundOpened) -> None:
        """Check the offer, train unless the update lies in the outbox already, send unless it was sent."""
        self._check(opened)
        try:
            sealed = self._outbox.find(opened) or self._train(opened)
        except RecordGoneError:
            logger.info("round %d was over before its model was read", opened.round)
            return
        if not sealed.sent:
            self.uplink.send(sealed.update, sealed.payload)
            self._outbox.mark_sent(sealed)

    def _check(self, opened: RoundOpened) -> None:
        if (opened.config_digest, opened.roster_digest) != (self._config, self._roster_digest):
            what = "configuration" if opened.config_digest != self._config else "roster"
            message = (
                f"round {opened.round} of {self._name} was opened with another {what} than this hospital agreed to."
            )
            raise RefusedMessage(Refusal.WRONG_JOB, message, remedy="Give all parties the same job and roster.")

    def _train(self, opened: RoundOpened) -> Sealed:
        attempt = self._outbox.begin(opened.round)
        model = self._models.read(opened.model, opened.round - 1)
        started = monotonic()
        metrics = self._metrics(opened, model)
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
                payload=payload,
                metrics=metrics,
                image_digest=self._image(),
                train_seconds=round(monotonic() - started, 3),
            ),
        )
        logger.info("trained round %d, attempt %d, in %.2f s", opened.round, attempt, sealed.update.train_seconds)
        return sealed

    def _metrics(self, opened: RoundOpened, model: bytearray) -> dict[str, float]:
        every = self._job.spec.evaluation.every_rounds
        return self._learner.evaluate(model) if every and (opened.round - 1) % every == 0 else {}

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
                metrics=self._learner.evaluate(model),
            )
        )
