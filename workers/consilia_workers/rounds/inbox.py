"""What the hospitals send: read in order, checked while it arrives, refused with a reason."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from consilia.errors import Refusal, RefusedMessage
from consilia.log import Log, Record, topics
from consilia.wire.identity import PublicKey
from consilia.wire.layout import Layout
from consilia.wire.messages import SIGNATURE, FromHospital, RefusedUpdate, RoundOpened, Update, from_hospital
from consilia.wire.payload import PayloadCheck

_TURN = 2048
"""So many records of one hospital are read at a time, give or take a batch: whoever floods its topic delays nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """One update that passed every check."""

    update: Update
    topic: str
    offsets: tuple[int, ...]
    """Where its chunks lie on the topic."""


@dataclass(slots=True, kw_only=True)
class _Pending:
    """An update whose chunks are still coming."""

    update: Update
    check: PayloadCheck
    offsets: list[int] = field(default_factory=list)


class HospitalInbox:
    """One hospital's topic, followed from an offset."""

    def __init__(self, hospital: str, key: PublicKey, job: str, layout: Layout, offset: int) -> None:
        """`offset` is where reading starts, at a message."""
        self.topic = topics.up(hospital, job)
        self.position = offset
        """The next record to read; what lies before it is dealt with when the round closes."""
        self._hospital, self._key, self._job, self._layout = hospital, key, job, layout
        self._pending: _Pending | None = None
        self._accepted: Arrived | None = None

    def read(self, log: Log, opened: RoundOpened | None) -> Iterator[FromHospital | Arrived | RefusedUpdate]:
        """What has come since the last call, or the beginning of it, checked against the open round."""
        left = _TURN
        while left > 0 and (records := log.read(self.topic, self.position)):
            left -= len(records)
            for record in records:
                self.position = record.offset + 1
                try:
                    yield from self._take(log, record, opened)
                except RefusedMessage as error:
                    self._pending = None
                    yield self._refused(error.reason, error.message)

    def _refused(self, reason: Refusal, text: str) -> RefusedUpdate:
        """For the record. The sender may have chosen parts of the words: no control characters get into a log."""
        printable = "".join(c if c.isascii() and c.isprintable() else "?" for c in text[:512])
        return RefusedUpdate(hospital=self._hospital, reason=reason, message=printable)

    def _take(
        self, log: Log, record: Record, opened: RoundOpened | None
    ) -> Iterator[FromHospital | Arrived | RefusedUpdate]:
        if SIGNATURE not in record.headers:
            yield from self._chunk(log, record)
            return
        yield from self.cut_short()
        message = from_hospital(record, hospital=self._hospital, key=self._key, job=self._job)
        if not isinstance(message, Update):
            yield message
        elif not self._repeats(message):
            self._check(message, opened)
            check = PayloadCheck(self._hospital, message.payload, self._layout)
            self._pending = _Pending(update=message, check=check)

    def _chunk(self, log: Log, record: Record) -> Iterator[Arrived]:
        """A piece of payload, read again when updates are combined. Pieces of something refused are passed over."""
        pending = self._pending
        if pending is None:
            return
        pending.check.feed(record.value)
        log.keep(record)
        pending.offsets.append(record.offset)
        if pending.check.complete:
            self._pending = None
            self._accepted = Arrived(update=pending.update, topic=self.topic, offsets=tuple(pending.offsets))
            yield self._accepted

    def cut_short(self) -> Iterator[RefusedUpdate]:
        """The update whose chunks were still coming, if there is one: something else came, or the round's end."""
        pending, self._pending = self._pending, None
        if pending:
            text = f"the update of round {pending.update.round} ended after {len(pending.offsets)} chunks"
            yield self._refused(Refusal.TRUNCATED, text)

    def _repeats(self, update: Update) -> bool:
        """Whether this very update was counted already. Sent again after a crash, it counts once."""
        accepted = self._accepted.update if self._accepted else None
        if accepted is None or accepted.round != update.round:
            return False
        if accepted.payload != update.payload:
            message = f"{self._hospital} sent a second, different update for round {update.round}"
            raise RefusedMessage(Refusal.CONFLICTING, message)
        return True

    def _check(self, update: Update, opened: RoundOpened | None) -> None:
        where = f"the update of {self._hospital} for round {update.round}"
        if opened is None or update.round != opened.round:
            raise RefusedMessage(Refusal.STALE, f"{where} came when that round was not open")
        if update.base_digest != opened.model.sha256:
            raise RefusedMessage(Refusal.WRONG_BASE, f"{where} was trained from another model than the round's")
        if (update.config_digest, update.roster_digest) != (opened.config_digest, opened.roster_digest):
            raise RefusedMessage(Refusal.WRONG_JOB, f"{where} was made under another configuration or roster")
