"""The log: ordered, durable topics that all parties talk through.

A narrow interface with two implementations, SQLite on one machine and Kafka everywhere else; the conformance suite in
`tests/log/` states what both must do. The rules a caller may rely on:

* A topic is an ordered sequence of records. Offsets grow and are never given twice, but may have gaps: transaction
  markers, compaction, trimming. A topic that nobody created comes into being, uncompacted, with its first record.
* Everything appended in one transaction, and the offsets committed with it, becomes visible at once or never.
  Readers see committed records only. The connection that committed sees them from then on, others soon after: `wait`.
* A producer has a name. Opening a producer fences every older one of the same name: its next transaction that
  holds anything raises `FencedError` and leaves nothing behind.
* A large payload is a run of records of at most `CHUNK_BYTES` each, so nobody has to hold it whole.
* Opening a producer also decides what the older one left open: whoever opens one, naming the topics, and then reads
  them misses nothing.
* A record that the caller has asked to `keep` can be read again cheaply: where the log is far away, from a local disk.
* Any call may raise `LogUnavailableError`, and `LogError` where the log is damaged, closed or misused.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

CHUNK_BYTES = 1 << 20
"""The most a record's value may hold, in bytes: 1 MiB. A Kafka topic allows a little more, for key and headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record as read."""

    topic: str
    offset: int
    key: str | None
    value: memoryview
    """Read-only bytes, valid as long as they are referred to. They may lie in a mapped file."""
    headers: Mapping[str, str] = field(default_factory=dict)
    timestamp: float = 0.0
    """When it was appended, in seconds since the epoch, by the writer's clock."""


class Transaction(Protocol):
    """What may be done inside `Producer.transaction()`; nothing is visible until the block has ended well."""

    def append(
        self,
        topic: str,
        value: bytes | memoryview,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        keep: bool = False,
    ) -> None:
        """Append one record of at most `CHUNK_BYTES`; a compacted topic wants a key; `keep` is as in `Log.keep`.

        Raises:
            LogError: the value is larger, or the topic's name is not one that Kafka takes.
        """

    def append_file(
        self, topic: str, path: Path, *, key_prefix: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Append a file's bytes as consecutive records of `CHUNK_BYTES` (the last may be shorter), none if it is empty.

        With `key_prefix`, chunk i gets the key `{key_prefix}/{i}`; every chunk gets the headers. The file must not be
        changed afterwards: an implementation on the same disk may keep a link to it instead of a copy. Removing the
        caller's name is fine.

        Raises:
            LogError: there is no such file, or it is none.
        """

    def commit_offset(self, group: str, topic: str, offset: int) -> None:
        """Record that `group` has consumed `topic` up to, but not including, `offset`."""

    def appended(self, topic: str) -> Sequence[int]:
        """The offsets of what was appended to `topic`, in order; known once the transaction is committed."""

    def trim(self, topic: str, before: int) -> None:
        """Let go of the records of `topic` below offset `before`; asking for one of them raises `RecordGoneError`."""


class Producer(Protocol):
    """A named writer; one at a time per name."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """All or nothing: commits when the block ends, rolls back when it raises. One at a time.

        Raises:
            FencedError: a newer producer of the same name exists; at the latest when the block ends.
        """

    def close(self) -> None:
        """Release what it holds."""


@runtime_checkable
class Log(Protocol):
    """One connection to the log. Not shared between threads or processes: open one each."""

    def producer(self, name: str, *, topics: Sequence[str] = (), group: str | None = None) -> Producer:
        """Open the producer `name`, fencing any older one.

        Whatever an older one committed on `topics`, and for `group`, can be read when this returns. Nobody may write
        there but producers of this name.
        """

    def create_topic(self, topic: str, *, compacted: bool = False) -> None:
        """Make the topic if it is absent. A compacted topic keeps, for every key, at least the newest record.

        Raises:
            LogError: it exists and is of the other kind.
        """

    def topics(self) -> Sequence[str]:
        """All topics, sorted."""

    def delete_topic(self, topic: str) -> None:
        """Delete the topic, its records and its committed offsets; nothing happens if it is absent.

        A topic made later under the same name starts from offset 0.
        """

    def read(self, topic: str, offset: int, *, max_records: int = 64) -> Sequence[Record]:
        """The committed records of `topic` from `offset` on, at once; empty if there are none yet or no such topic.

        Fewer than `max_records` does not mean that there are no more: about 8 MiB are returned at a time, so that a
        reader of a large payload holds a few chunks. If any record is there, at least one is returned.
        """

    def record(self, topic: str, offset: int) -> Record:
        """The one record at `offset`.

        Raises:
            RecordGoneError: there is none at that offset (any more).
        """

    def keep(self, record: Record) -> None:
        """Have this record at hand until it is trimmed: `record` will be asked for it again."""

    def end_offset(self, topic: str) -> int:
        """The offset that the next record will have at least; 0 for an absent topic or one that never had any."""

    def committed(self, group: str, topic: str) -> int | None:
        """Where `group` stands on `topic`; None if it never committed."""

    def wait(self, positions: Mapping[str, int], timeout: float) -> bool:
        """Sleep until one of the topics has a committed record at or after its position, at most `timeout` seconds.

        Returns:
            Whether there is something to read.
        """

    def close(self) -> None:
        """Release the connection and its producers."""


def follow(log: Log, topic: str, offset: int) -> Iterator[Record]:
    """The committed records of `topic` from `offset` to its present end, fetched in batches."""
    while records := log.read(topic, offset):
        yield from records
        offset = records[-1].offset + 1


def chunks(data: bytes | bytearray | memoryview, size: int = CHUNK_BYTES) -> Iterable[memoryview]:
    """`data` cut in pieces of `size` bytes, without copying."""
    view = memoryview(data).cast("B")
    for start in range(0, len(view), size):
        yield view[start : start + size]
