"""What one hospital says about one job: its own topic, its own signature."""

import logging
from pathlib import Path

from consilia.errors import BudgetError, DataError, DivergedError, LedgerError, RefusedMessage
from consilia.log import Log, topics
from consilia.wire.identity import Identity
from consilia.wire.messages import FromHospital, LeaveReason, Left, Update, encode

logger = logging.getLogger("consilia.trainer")


class Uplink:
    """Opening it takes over from any older trainer of the same hospital and job."""

    def __init__(self, log: Log, job: str, identity: Identity) -> None:
        """`identity` is the hospital's own."""
        self.job, self.hospital = job, identity.name
        self._identity, self._topic = identity, topics.up(identity.name, job)
        self._log, self._producer = log, log.producer(topics.trainer(identity.name, job))

    def say(self, message: FromHospital) -> None:
        """One message."""
        value, headers = encode(message, self._identity)
        with self._producer.transaction() as transaction:
            transaction.append(self._topic, value, headers=headers)

    def send(self, update: Update, payload: Path) -> None:
        """An update and its payload: both or nothing."""
        value, headers = encode(update, self._identity)
        with self._producer.transaction() as transaction:
            transaction.append(self._topic, value, headers=headers)
            transaction.append_file(self._topic, payload)

    def leave(self, error: Exception) -> None:
        """Tell the others that nobody needs to wait. The error's words stay here: they may quote a record."""
        logger.error("leaving %s: %s", self.job, error)
        self.say(Left(job=self.job, hospital=self.hospital, reason=_reason(error)))
        self._log.end_offset(self._topic)  # seen through: nobody will be here to see to it later


def _reason(error: Exception) -> LeaveReason:
    match error:
        case DivergedError():
            return "Diverged"
        case BudgetError():
            return "Exhausted"
        case LedgerError():
            return "LedgerDamaged"
        case DataError():
            return "DataUnavailable"
        case RefusedMessage():
            return "Refused"
        case _:
            return "TaskFailed"
