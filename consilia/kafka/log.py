"""The log on Kafka. Every topic has one partition; every reader sees committed records only.

Two consumers share the reading, because a broker that has nothing new keeps a request for a while, and its connection
serves nothing else meanwhile: `_tail` waits for news on the topics that somebody follows, `_seek` reads what is there.
Decisions behind this: docs/decisions/0008-kafka-through-kafka-python.md.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from time import monotonic, sleep
from uuid import UUID

from consilia.errors import LogAccessError, LogError, LogUnavailableError, RecordGoneError
from consilia.kafka.cluster import Cluster
from consilia.kafka.connection import make_admin, make_consumer
from consilia.kafka.diagnosis import require_entry
from consilia.kafka.errors import plain_errors
from consilia.kafka.feed import Feed
from consilia.kafka.outage import SILENCE_SECONDS, Outage
from consilia.kafka.producer import Committed, KafkaLogProducer, Parts
from consilia.kafka.settings import KafkaSettings
from consilia.kafka.spool import Spool
from consilia.log.interface import Record
from consilia.log.topics import check

_TAIL_WAIT, _SEEK_WAIT = 500, 5
"""How long a broker without news keeps the request of either consumer, in milliseconds."""
_POLL = 0.05
"""How long one look for records that must be there may take, in seconds."""
_FIRST_LOOK = 0.25
"""How long even an impatient `wait` looks at topics that it has not followed before, in seconds."""
_MARKER_SECONDS = 0.001
"""How long to wait before looking again for the marker of a transaction that was committed here."""
_CREATION_SECONDS = 30.0
"""How long to wait for somebody else to make a topic that this party may not make."""

logger = logging.getLogger("consilia.kafka")


class KafkaLog:
    """A connection to the log on a Kafka cluster; see `consilia.log.interface.Log`."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Connects at once.

        Raises:
            LogAccessError: the cluster does not accept this party.
            LogUnavailableError: it does not answer.
            LogError: a file that the settings name cannot be used.
        """
        self._settings = settings
        self._outage = Outage(settings)
        self._spool = Spool(settings.spool)
        # kafka-python itself would not say why not, or try for ever.
        require_entry(settings, settings.connect_seconds)
        with ExitStack() as undo, plain_errors(settings, doing="connect"):
            self._cluster = undo.enter_context(closing(Cluster(settings, make_admin(settings))))
            self._tail = undo.enter_context(closing(Feed(make_consumer(settings, wait_ms=_TAIL_WAIT))))
            self._seek = undo.enter_context(closing(Feed(make_consumer(settings, wait_ms=_SEEK_WAIT))))
            undo.pop_all()
        self._producers: list[KafkaLogProducer] = []
        self._known: dict[str, UUID] = {}
        """Topics that exist, as far as is known, and which of their name they are."""
        self._compacted: set[str] = set()
        """Those of them that are compacted."""
        self._ends: dict[str, int] = {}
        """Up to where committed records are known to reach."""
        self._own_offsets: dict[tuple[str, str], int] = {}
        """Offsets committed here that the cluster may not show yet."""
        self._overdue: dict[str, int] = {}
        """What is to be let go and could not be: by topic, all below this offset."""
        self._closed = False

    def producer(self, name: str, *, topics: Sequence[str] = (), group: str | None = None) -> KafkaLogProducer:
        """Open the producer `name`, fencing any older one."""
        self._usable()
        if not name:
            raise LogError("A producer needs a name.", remedy="Give it one.")
        require_entry(self._settings, self._settings.connect_seconds)
        parts = Parts(
            settings=self._settings,
            spool=self._spool,
            outage=self._outage,
            ensure=self._ensure,
            compacted=self._compacted,
            end=self._cluster.end,
            committed=self._committed,
        )
        with plain_errors(self._settings, doing="connect"):
            producer = KafkaLogProducer(parts, name)
        self._producers.append(producer)
        self._uncover_older(producer, topics, group)
        return producer

    def create_topic(self, topic: str, *, compacted: bool = False) -> None:
        """Make the topic if it is absent."""
        self._usable()
        check(topic)
        self._cluster.create(topic, compacted=compacted)
        self._ensure(topic)
        if compacted:
            self._compacted.add(topic)

    def topics(self) -> Sequence[str]:
        """All topics that this party may see, sorted."""
        self._usable()
        return self._cluster.topics()

    def delete_topic(self, topic: str) -> None:
        """Delete the topic, its records and its committed offsets."""
        self._usable()
        self._cluster.delete(topic)
        self._forget(topic)

    def read(self, topic: str, offset: int, *, max_records: int = 64) -> Sequence[Record]:
        """The committed records from `offset` on."""
        self._usable()
        with plain_errors(self._settings, doing="read", topic=topic):
            if self._tail.covers(topic, offset):
                return self._news(topic, offset, max_records)
            return self._found(topic, offset, max_records)

    def record(self, topic: str, offset: int) -> Record:
        """The one record at `offset`."""
        self._usable()
        if kept := self._spool.get(topic, offset):
            return kept
        # Who asks for one record by its offset will ask for the next ones: they have come along, and are kept.
        records = self.read(topic, offset)
        for each in records:
            self._spool.keep(each)
        if records and records[0].offset == offset:
            return records[0]
        if offset < self.end_offset(topic):
            raise RecordGoneError(f"Record {offset} of {topic} is gone.", remedy="Go on from a newer one.")
        raise RecordGoneError(f"{topic} has no record {offset} yet.", remedy="Wait for it.")

    def keep(self, record: Record) -> None:
        """Have this record on the local disk until it is trimmed."""
        self._spool.keep(record)

    def end_offset(self, topic: str) -> int:
        """The offset that the next record will have at least."""
        self._usable()
        deadline = monotonic() + self._settings.delivery_seconds
        while True:
            end = self._cluster.end(topic)
            if end is None:
                self._forget(topic)
                return 0
            if end >= self._ends.get(topic, 0):
                self._ends[topic] = end
                if topic not in self._known and (identity := self._cluster.identity(topic)):
                    self._known[topic] = identity
                return end
            if not self._still(topic):
                continue
            if monotonic() > deadline:
                raise self._outage.timeout(f"see the end of {topic}")
            self._pause()

    def committed(self, group: str, topic: str) -> int | None:
        """Where `group` stands on `topic`."""
        self._usable()
        if not self._cluster.has(topic):
            return None  # the group's offset is deleted with the topic, if a little later
        expected = self._own_offsets.pop((group, topic), None)
        deadline = monotonic() + self._settings.delivery_seconds
        while (found := self._cluster.committed(group, topic)) != expected and expected is not None:
            if monotonic() > deadline:
                raise self._outage.timeout(f"see the offset of {group} on {topic}")
            self._pause()
        return found

    def wait(self, positions: Mapping[str, int], timeout: float) -> bool:
        """Sleep until there is something to read."""
        self._usable()
        with plain_errors(self._settings, doing=f"follow {', '.join(positions)}"):
            new = not all(self._tail.covers(topic, offset) for topic, offset in positions.items())
            self._tail.follow(positions)
            deadline = monotonic() + (max(timeout, _FIRST_LOOK) if new and positions else timeout)
            while not self._tail.ready():
                left = deadline - monotonic()
                if left <= 0:
                    return False
                self._tail.poll(min(left, SILENCE_SECONDS))
                if left > SILENCE_SECONDS and not self._tail.ready():
                    self._check(positions)
        return True

    def close(self) -> None:
        """Release the connection and its producers."""
        if self._closed:
            return
        self._closed = True
        for producer in self._producers:
            producer.close()
        for part in (self._tail, self._seek, self._cluster, self._spool):
            part.close()

    def _news(self, topic: str, offset: int, most: int) -> Sequence[Record]:
        """What has come of a topic that is followed."""
        self._tail.glance()
        self._read_up_to(self._tail, topic, self._ends.get(topic, 0))
        return self._tail.take(topic, offset, most) if self._tail.covers(topic, offset) else []

    def _found(self, topic: str, offset: int, most: int) -> Sequence[Record]:
        """What there is of any topic."""
        # Between the last record and the end that is known there may be markers only, and news behind it.
        if offset < self._ends.get(topic, 0) and (records := self._before_known_end(topic, offset, most)):
            return records
        return self._before_known_end(topic, offset, most) if offset < self.end_offset(topic) else []

    def _before_known_end(self, topic: str, offset: int, most: int) -> Sequence[Record]:
        if not self._seek.covers(topic, offset):
            self._seek.follow({topic: offset})
            self._seek.await_first(topic, _POLL)
        self._read_up_to(self._seek, topic, self._ends.get(topic, 0))
        return self._seek.take(topic, offset, most) if self._seek.covers(topic, offset) else []

    def _read_up_to(self, feed: Feed, topic: str, end: int) -> None:
        """Poll until there is a record of the topic, or none is left before `end`."""
        silent_since = monotonic()
        # Where it was read up to is at hand; to ask the consumer takes long with thousands of topics.
        while not feed.waiting(topic) and feed.reached(topic) < end and feed.position(topic) < end:
            feed.poll(_POLL)
            if feed.waiting(topic):
                break
            if not self._still(topic):
                return
            if monotonic() - silent_since > SILENCE_SECONDS:
                self._check([topic])
                silent_since = monotonic()
        self._outage.over()

    def _still(self, topic: str) -> bool:
        """Whether the topic is the one that we know; one that was deleted, and perhaps made anew, is forgotten."""
        try:
            identity = self._cluster.identity(topic, "read")
        except LogUnavailableError:
            return True
        if identity == self._known.get(topic):
            return True
        self._forget(topic)
        return False

    def _uncover_older(self, producer: KafkaLogProducer, topics: Sequence[str], group: str | None) -> None:
        """Whatever hides something on these topics was left open by an older producer of this name."""
        ends = {topic: end for topic in topics if (end := self._cluster.end(topic)) is not None}
        hidden = [topic for topic, end in ends.items() if end != self._cluster.end(topic, committed=False)]
        # Nobody can tell what hides a group's offsets. The one for a topic of its own it has no use for.
        offsets = {group: {next(iter(ends)): 0}} if group and ends else {}
        if hidden or offsets:
            producer.uncover(hidden, offsets)

    def _pause(self) -> None:
        """Our own commit is decided; its marker reaches the topics in a moment."""
        sleep(_MARKER_SECONDS)
        for producer in self._producers:
            producer.see_through()

    def _check(self, topics: Mapping[str, int] | Sequence[str]) -> None:
        """Nothing has come for a while: see that the cluster is there, and lets us read."""
        try:
            for topic in topics:
                self._cluster.has(topic, "read")
        except LogUnavailableError:
            self._outage.suspect(f"read {', '.join(topics)}")
        else:
            self._outage.over()
            for producer in self._producers:
                producer.see_through()

    def _ensure(self, topic: str) -> None:
        """Make an absent topic, or wait for whoever may make it."""
        if topic in self._known:
            return
        deadline = monotonic() + _CREATION_SECONDS
        while (identity := self._cluster.identity(topic, "write to")) is None:
            try:
                self._cluster.ensure(topic)
            except LogAccessError as error:
                if monotonic() > deadline:
                    message = f"the topic {topic} is absent after {_CREATION_SECONDS:.0f} s: {error.message}"
                    raise LogUnavailableError(message, remedy="Start the aggregator, which makes it.") from error
                sleep(_POLL)
        self._known[topic] = identity

    def _committed(self, transaction: Committed) -> None:
        self._ends.update(transaction.ends)
        self._own_offsets.update(transaction.offsets)
        for topic, before in transaction.trims.items():
            self._spool.drop(topic, before)
        self._overdue.update(transaction.trims)
        try:
            # A topic that turns out to be gone is forgotten meanwhile.
            starts = {topic: self._before_end(topic, offset) for topic, offset in list(self._overdue.items())}
            self._cluster.trim({topic: start for topic, start in starts.items() if start})
        except LogUnavailableError as error:
            # The transaction counts all the same; while a copy's broker is away nobody can let go of it.
            logger.info("old records stay until later: %s", error.message)
        else:
            self._overdue.clear()

    def _before_end(self, topic: str, offset: int) -> int:
        """Never beyond the last committed record: behind it an open transaction may have written already."""
        known = max(self._ends.get(topic, 0), self._tail.reached(topic), self._seek.reached(topic))
        return offset if offset <= known else min(offset, self.end_offset(topic))

    def _forget(self, topic: str) -> None:
        self._known.pop(topic, None)
        self._compacted.discard(topic)
        self._ends.pop(topic, None)
        self._overdue.pop(topic, None)
        self._spool.drop(topic)
        for feed in (self._tail, self._seek):
            feed.leave(topic)
        for group, other in [key for key in self._own_offsets if key[1] == topic]:
            del self._own_offsets[group, other]

    def _usable(self) -> None:
        if self._closed:
            raise LogError("This log has been closed.", remedy="Open it again.")
