"""A named writer on Kafka: one transactional id, so that a newer one of the same name fences the older."""

import logging
import stat
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.structs import OffsetAndMetadata

from consilia.errors import ConsiliaError, FencedError, LogError, LogUnavailableError
from consilia.kafka.connection import make_producer
from consilia.kafka.denial import require_rights
from consilia.kafka.errors import plain_errors
from consilia.kafka.feed import BLANK, PARTITION, partition
from consilia.kafka.outage import SILENCE_SECONDS, Outage
from consilia.kafka.settings import KafkaSettings
from consilia.kafka.spool import Kept, Spool
from consilia.log.interface import CHUNK_BYTES
from consilia.log.topics import check

logger = logging.getLogger("consilia.kafka")


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What a transaction left on the log."""

    ends: Mapping[str, int]
    """By topic, the offset behind the last record that was appended."""
    offsets: Mapping[tuple[str, str], int]
    """By group and topic, where the group stands."""
    trims: Mapping[str, int]
    """By topic, the offset below which records are not needed any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the producers of one connection share with it."""

    settings: KafkaSettings
    spool: Spool
    outage: Outage
    ensure: Callable[[str], None]
    """Makes a topic that is absent."""
    compacted: Container[str]
    """Topics that want a key with every record, as far as is known here."""
    end: Callable[[str], int | None]
    """Up to where a topic's committed records reach; None if it is absent."""
    committed: Callable[[Committed], None]
    """Hears of every transaction that was committed."""


@dataclass(slots=True)
class _Sent:
    """A record on its way."""

    future: Any
    size: int
    kept: Kept | None


class KafkaTransaction:
    """What is written goes out at once, and counts once it is committed; see `consilia.log.interface.Transaction`."""

    def __init__(self, producer: KafkaProducer, parts: Parts, located: set[str]) -> None:
        """`producer` has no transaction open; `located` are the topics of which it knows where they are."""
        self._producer, self._parts, self._located = producer, parts, located
        self.sent: dict[str, list[_Sent]] = {}
        self._in_flight: deque[_Sent] = deque()
        self._in_flight_bytes = 0
        self.group_offsets: dict[str, dict[str, int]] = {}
        self.trims: dict[str, int] = {}
        self.begun = self.ended = False

    def append(
        self,
        topic: str,
        value: bytes | memoryview,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        keep: bool = False,
    ) -> None:
        """Append one record."""
        self._usable(topic)
        if len(value) > CHUNK_BYTES:
            message = f"{len(value)} bytes for {topic} are more than the {CHUNK_BYTES} that a record may hold."
            raise LogError(message, remedy="Cut the value with consilia.log.interface.chunks.")
        if key is None and topic in self._parts.compacted:
            message = f"A record without a key for the compacted topic {topic}."
            raise LogError(message, remedy="Give every record a key there.")
        name, pairs = _encoded(topic, key, headers or {})
        now = int(time.time() * 1000)
        with plain_errors(self._parts.settings, doing="write to", topic=topic):
            self._parts.ensure(topic)
            self._locate(topic)
            self._begin()
            future = self._producer.send(topic, value, name, pairs, PARTITION, now)
            kept = (
                self._parts.spool.stage(value, key=key, headers=dict(headers or {}), timestamp=now / 1000)
                if keep
                else None
            )
            self._note(topic, _Sent(future, len(value), kept))

    def append_file(
        self, topic: str, path: Path, *, key_prefix: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Append a file's bytes as consecutive records."""
        self._usable(topic)
        for index, piece in enumerate(_pieces(path)):
            key = None if key_prefix is None else f"{key_prefix}/{index}"
            self.append(topic, piece, key=key, headers=headers)

    def commit_offset(self, group: str, topic: str, offset: int) -> None:
        """Record where the group stands."""
        self._usable(topic)
        self.group_offsets.setdefault(group, {})[topic] = offset

    def trim(self, topic: str, before: int) -> None:
        """Let go of the records below an offset."""
        self._usable(topic)
        self.trims[topic] = max(before, self.trims.get(topic, 0))

    def appended(self, topic: str) -> Sequence[int]:
        """Where the records lie that were appended to the topic."""
        return [each.future.value.offset for each in self.sent.get(topic, [])]

    def flush_offsets(self) -> None:
        """Hand the groups' offsets to the transaction, just before it is committed."""
        for group, stands in self.group_offsets.items():
            self._begin()
            for topic in stands:
                self._parts.ensure(topic)
            offsets = {partition(topic): OffsetAndMetadata(offset, "", -1) for topic, offset in stands.items()}
            self._producer.send_offsets_to_transaction(offsets, group)

    def require_sent(self) -> None:
        """See that every record is on its topic, as far as is known.

        Raises:
            ConsiliaError: why the first that is not, is not.
        """
        for topic, records in self.sent.items():
            with plain_errors(self._parts.settings, doing="write to", topic=topic):
                for each in records:
                    if each.future.exception is not None:
                        raise each.future.exception

    def settle(self) -> Committed:
        """The transaction is committed: what it kept can be found by its offset from now on."""
        for topic, records in self.sent.items():
            for each in records:
                if each.kept:
                    self._parts.spool.admit(each.kept, topic, each.future.value.offset)
        return Committed(
            ends={topic: records[-1].future.value.offset + 1 for topic, records in self.sent.items()},
            offsets={
                (g, topic): offset for g, stands in self.group_offsets.items() for topic, offset in stands.items()
            },
            trims=self.trims,
        )

    def discard(self) -> None:
        """The transaction has failed: what it kept is not needed."""
        for records in self.sent.values():
            for each in records:
                if each.kept:
                    self._parts.spool.release(each.kept)

    def _locate(self, topic: str) -> None:
        """Let the producer find out where the topic is; in the middle of `send` it would be silent about it."""
        if topic not in self._located:
            find = partial(self._producer.partitions_for, topic)
            self._parts.outage.bounded(find, f"write to {topic}", [topic])
            self._located.add(topic)

    def _begin(self) -> None:
        if not self.begun:
            self._producer.begin_transaction()
            self.begun = True

    def _note(self, topic: str, sent: _Sent) -> None:
        """Wait while too much is in flight: kafka-python itself would take all there is into memory."""
        self.sent.setdefault(topic, []).append(sent)
        self._in_flight.append(sent)
        self._in_flight_bytes += sent.size
        while self._in_flight_bytes > self._parts.settings.in_flight_bytes or (
            self._in_flight and self._in_flight[0].future.is_done
        ):
            first = self._in_flight.popleft()
            self._in_flight_bytes -= first.size
            self._parts.outage.awaited(first.future, f"write to {topic}", self.sent)

    def _usable(self, topic: str) -> None:
        if self.ended:
            raise LogError("This transaction has ended.", remedy="Begin a new one with `producer.transaction()`.")
        check(topic)


def _encoded(topic: str, key: str | None, headers: Mapping[str, str]) -> tuple[bytes | None, list[tuple[str, bytes]]]:
    try:
        for name in headers:
            name.encode()
        pairs = [(name, text.encode()) for name, text in headers.items()]
        return (None if key is None else key.encode()), pairs
    except UnicodeEncodeError as error:
        message = f"{topic} cannot hold what it was given: {error}."
        raise LogError(message, remedy="Correct the caller.") from error


def _pieces(path: Path) -> Iterator[memoryview]:
    """A file's bytes in chunks, each in the same buffer: whoever gets one copies it before asking for the next."""
    buffer = memoryview(bytearray(CHUNK_BYTES))
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise LogError(f"{path} is not a regular file.", remedy="Append a file's path.")
        with path.open("rb", buffering=0) as file:
            while length := file.readinto(buffer):
                yield buffer[:length]
    except OSError as error:
        raise LogError(f"cannot read {path}: {error.strerror}.", remedy="Append a file's path.") from error


class KafkaLogProducer:
    """A named writer; see `consilia.log.interface.Producer`."""

    def __init__(self, parts: Parts, name: str) -> None:
        """Takes over from any older producer of the same name, once what that one did is decided."""
        self._parts, self._name = parts, name
        self._producer = make_producer(parts.settings, name)
        # Told that its epoch is old, kafka-python asks for a new one and, refused, takes the name over anew: who was
        # replaced and wakes up would push its successor aside.
        self._producer._transaction_manager._supports_epoch_bump = lambda: False  # noqa: SLF001 (there is no public way)
        self._open: KafkaTransaction | None = None
        self._unseen: dict[str, int] = {}
        """Topics to which this one committed and where that has not been seen: by topic, the offset behind it."""
        self._stands: Mapping[str, Mapping[str, int]] = {}
        """Where the groups stand by the last transaction that said so."""
        self._committed = 0.0
        self._located: set[str] = set()
        self._closed = False
        self._lost: ConsiliaError | None = None
        """Why it can write no more: opening it again here might push a newer one of its name aside."""
        try:
            self._bounded(self._producer.init_transactions, "begin writing")
        except BaseException:
            self._abandon()
            raise

    @contextmanager
    def transaction(self) -> Iterator[KafkaTransaction]:
        """All or nothing."""
        transaction = self._begin()
        try:
            # Who was replaced may be told so already while it writes.
            with self._fencing_named():
                yield transaction
                self._commit(transaction)
        except BaseException as error:
            transaction.discard()
            self._roll_back(transaction, error)
            raise
        finally:
            transaction.ended = True
            self._open = None
        committed = transaction.settle()
        self._unseen.update(committed.ends)
        self._stands = transaction.group_offsets or self._stands
        self._committed = monotonic()
        self._parts.committed(committed)

    def see_through(self) -> None:
        """See that what was committed here can be read, once the marker that ends it has had time to get there.

        A coordinator that restarts with its cluster's only broker finds no leader of the topics for a moment, takes
        them for deleted, and counts the transaction as complete without its marker: nobody could read on there.
        """
        if self._open or self._closed or self._lost or monotonic() - self._committed < SILENCE_SECONDS:
            return
        try:
            seen = {topic: self._parts.end(topic) for topic in self._unseen}
        except LogUnavailableError:
            return  # asked again after the next silence
        behind = {topic for topic, end in seen.items() if end is not None and end < self._unseen[topic]}
        self._unseen = {topic: end for topic, end in self._unseen.items() if topic in behind}
        if self._unseen:
            self.uncover(list(self._unseen), self._stands)

    def uncover(self, topics: Sequence[str], group_offsets: Mapping[str, Mapping[str, int]]) -> None:
        """Have a blank end what this name committed on these topics before: for them it is all one transaction.

        The offsets do the same for the groups.
        """
        if topics:
            logger.warning("what %s committed on %s cannot be read: ended again", self._name, ", ".join(topics))
        with self.transaction() as transaction:
            for topic in topics:
                transaction.append(topic, b"", key=BLANK)
            for group, stands in group_offsets.items():
                for topic, offset in stands.items():
                    transaction.commit_offset(group, topic, offset)

    def close(self) -> None:
        """Leave the cluster; a transaction that is open will not commit."""
        if not self._closed:
            if self._open:
                self._roll_back(self._open, LogError("closed"))
            self._closed = True
            self._abandon()

    def _begin(self) -> KafkaTransaction:
        self._usable()
        if self._lost:
            raise self._lost
        if self._open is not None:
            raise LogError("This producer has a transaction open.", remedy="End it first, or open another producer.")
        self._open = KafkaTransaction(self._producer, self._parts, self._located)
        return self._open

    def _commit(self, transaction: KafkaTransaction) -> None:
        self._usable()
        if transaction.begun or transaction.group_offsets:
            self._bounded(lambda: self._finish(transaction), "commit", transaction.sent)

    def _finish(self, transaction: KafkaTransaction) -> None:
        try:
            transaction.flush_offsets()
            # Not left to the commit: where a topic is denied meanwhile, kafka-python would wait in it for ever.
            self._producer.flush()
            transaction.require_sent()
            self._producer.commit_transaction()
        except KafkaError as error:
            transaction.require_sent()
            require_rights(self._parts.settings, error, appended=transaction.sent, offsets=transaction.group_offsets)
            raise

    def _roll_back(self, transaction: KafkaTransaction, error: BaseException) -> None:
        """What cannot be rolled back now, the broker will, or the next producer of this name."""
        if isinstance(error, FencedError | LogUnavailableError):
            self._lost = error
        elif transaction.begun and not self._closed:
            try:
                self._bounded(self._producer.abort_transaction, "abort")
            except ConsiliaError as lost:
                self._lost = lost

    def _bounded(self, call: Callable[[], None], doing: str, topics: Iterable[str] = ()) -> None:
        with self._fencing_named(), plain_errors(self._parts.settings, doing=doing, transactional_id=self._name):
            self._parts.outage.bounded(call, f"{doing} as {self._name}", topics)

    @contextmanager
    def _fencing_named(self) -> Iterator[None]:
        try:
            yield
        except FencedError as error:
            message = f"A newer process writes as '{self._name}', or this one's transaction was left open too long."
            raise FencedError(message, remedy="Let the newer one go on; this one must stop.") from error

    def _abandon(self) -> None:
        try:
            self._producer.close(timeout=0)
        except KafkaTimeoutError:
            # Its first step is to wait for what is on its way, and without time for that it takes no other.
            self._producer._sender.force_close()  # noqa: SLF001 (there is no public way)

    def _usable(self) -> None:
        if self._closed:
            raise LogError("This producer has been closed.", remedy="Open it again.")
