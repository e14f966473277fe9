"""A consumer over some topics, and what it has fetched that nobody has asked for yet."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from types import MappingProxyType
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from consilia.log.interface import Record

BLANK = "consilia/blank"
"""The key of a record that says nothing and that no reader is shown. What it is for: `KafkaLogProducer.see_through`."""
PARTITION = 0
"""The only one of each topic: a topic is one sequence."""
READ_BYTES = 8 << 20
"""About how much one `take` returns at most."""
_POLL_RECORDS = 512
_STEP = 0.005
"""How long one look takes where the first record may come at any moment, in seconds."""
_MOMENT = 0.005
"""For so long a feed counts as just polled, in seconds."""
_BLANK = BLANK.encode()
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(slots=True)
class _Window:
    """What lies between two offsets of a topic: every committed record from `start` up to `end` is in `records`."""

    start: int
    end: int
    records: deque[Record] = field(default_factory=deque)

    def covers(self, offset: int) -> bool:
        return self.start <= offset <= self.end

    def forget_below(self, offset: int) -> None:
        while self.records and self.records[0].offset < offset:
            self.records.popleft()
        self.start = offset


class Feed:
    """Follows topics from offset to offset; a topic that is absent is waited for."""

    def __init__(self, consumer: KafkaConsumer) -> None:
        """`consumer` is the feed's own from now on."""
        self._consumer = consumer
        self._windows: dict[str, _Window] = {}
        self._polled = 0.0

    def follow(self, positions: Mapping[str, int]) -> None:
        """Follow these topics and no others, each from its offset on; what is there already is kept."""
        if self._windows.keys() != positions.keys():
            self._consumer.assign([partition(topic) for topic in positions])
            self._windows = {topic: window for topic, window in self._windows.items() if topic in positions}
        for topic, offset in positions.items():
            window = self._windows.get(topic)
            if window and window.covers(offset):
                window.forget_below(offset)
            else:
                self._windows[topic] = _Window(start=offset, end=offset)
                self._consumer.seek(partition(topic), offset)

    def covers(self, topic: str, offset: int) -> bool:
        """Whether the topic is followed, and nothing between `offset` and what comes next was handed out or missed."""
        return topic in self._windows and self._windows[topic].covers(offset)

    def glance(self) -> None:
        """Take in what has come meanwhile, unless that was done a moment ago: asking costs more than a small record."""
        if monotonic() - self._polled > _MOMENT:
            self.poll(0)

    def poll(self, seconds: float) -> None:
        """Take in what comes next, waiting at most so long for the first of it."""
        for source, found in self._consumer.poll(round(seconds * 1000), max_records=_POLL_RECORDS).items():
            window = self._windows.get(source.topic)
            if window is not None:
                new = (each for each in found if each.offset >= window.end and each.key != _BLANK)
                window.records.extend(map(_to_record, new))
                window.end = max(window.end, found[-1].offset + 1)
        self._polled = monotonic()

    def await_first(self, topic: str, seconds: float) -> None:
        """Poll until a record of the topic is there, at most so long, in short steps.

        Just after a switch of topics kafka-python has nothing to ask for, and sleeps for all the time that it is given.
        """
        until = monotonic() + seconds
        while not self.waiting(topic) and monotonic() < until:
            self.poll(_STEP)

    def position(self, topic: str) -> int:
        """Up to where the topic has been read: beyond the last record, and the markers behind it."""
        reached = self._consumer.position(partition(topic), timeout_ms=0)
        window = self._windows[topic]
        window.end = max(window.end, reached or 0)
        return window.end

    def reached(self, topic: str) -> int:
        """The offset behind the last record that was read of the topic; 0 if it is not followed."""
        return self._windows[topic].end if topic in self._windows else 0

    def ready(self) -> bool:
        """Whether a record waits to be taken."""
        return any(window.records for window in self._windows.values())

    def waiting(self, topic: str) -> bool:
        """Whether a record of the topic waits to be taken."""
        return bool(self._windows[topic].records)

    def take(self, topic: str, offset: int, most: int) -> Sequence[Record]:
        """At most `most` records from `offset` on, and about 8 MiB; the topic must cover the offset."""
        window, taken, size = self._windows[topic], list[Record](), 0
        window.forget_below(offset)
        while window.records and len(taken) < most and size < READ_BYTES:
            taken.append(window.records.popleft())
            size += len(taken[-1].value)
        if taken:
            window.start = taken[-1].offset + 1
        return taken

    def leave(self, topic: str) -> None:
        """The topic is gone: forget what was read of it."""
        if topic in self._windows:
            self.follow({other: window.start for other, window in self._windows.items() if other != topic})

    def close(self) -> None:
        """Leave the cluster."""
        self._consumer.close(autocommit=False)


def partition(topic: str) -> TopicPartition:
    """Kafka's name of the topic's only partition."""
    return TopicPartition(topic, PARTITION)


def _to_record(found: Any) -> Record:  # noqa: ANN401 (kafka-python has no types)
    """What anybody may have written there must not stop a reader: text that is no UTF-8 is read with question marks."""
    headers = {key: (value or b"").decode(errors="replace") for key, value in found.headers}
    return Record(
        topic=found.topic,
        offset=found.offset,
        key=None if found.key is None else found.key.decode(errors="replace"),
        value=memoryview(found.value or b""),
        headers=MappingProxyType(headers) if headers else _NO_HEADERS,
        timestamp=found.timestamp / 1000,
    )
