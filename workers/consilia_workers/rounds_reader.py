"""Reads what the aggregator says off the rounds topic. What anybody else put there is passed over."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from consilia.errors import Refusal, RefusedMessage
from consilia.log import Log, Record, follow, topics
from consilia.wire.identity import PublicKey
from consilia.wire.messages import FromAggregator, from_aggregator

logger = logging.getLogger("consilia.rounds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One message of the aggregator, with its time."""

    message: FromAggregator
    timestamp: float
    """Seconds since the epoch."""


class RoundsReader:
    """Goes forward through one job's rounds topic; remembers where it is."""

    def __init__(self, log: Log, job: str, key: PublicKey) -> None:
        """`key` is the aggregator's."""
        self._log, self._job, self._key = log, job, key
        self.topic, self.offset = topics.rounds(job), 0

    def news(self) -> Iterator[Heard]:
        """What was said since the last call.

        Raises:
            RefusedMessage: the aggregator signed something that this version does not understand.
        """
        for record in follow(self._log, self.topic, self.offset):
            self.offset = record.offset + 1
            if message := self._message(record):
                yield Heard(message=message, timestamp=record.timestamp)

    def _message(self, record: Record) -> FromAggregator | None:
        try:
            return from_aggregator(record, key=self._key, job=self._job)
        except RefusedMessage as error:
            if error.reason is not Refusal.FORGED:
                raise
            logger.warning("passed over: %s", error)
            return None
