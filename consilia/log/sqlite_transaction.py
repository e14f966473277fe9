"""A transaction of the SQLite log: gathered outside the database, then written in one short commit."""

import json
import os
import sqlite3
import stat
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from consilia.errors import FencedError, LogError
from consilia.log.interface import CHUNK_BYTES
from consilia.log.segments import SegmentWriter
from consilia.log.sqlite_database import Database, plain_errors
from consilia.log.topics import check

INLINE_BYTES = 128 << 10
"""Values up to this size lie in the database itself: below it, two more fsyncs cost more than writing twice."""
INLINE_TOTAL = 8 << 20
"""What a transaction keeps in memory before it sends small values to a segment, too."""


class Entry(NamedTuple):
    """One appended record, before its offset is known."""

    key: str | None
    headers: str | None
    timestamp: float
    value: bytes | None
    segment: str | None
    position: int | None
    length: int | None


@dataclass(slots=True)
class SqliteTransaction:
    """What one transaction is going to write; see `consilia.log.interface.Transaction`."""

    path: Path
    segments: SegmentWriter
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    offsets: dict[tuple[str, str], int] = field(default_factory=dict)
    trims: dict[str, int] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    places: dict[str, range] = field(default_factory=dict)
    ended: bool = False
    _inline: int = 0
    _own: tuple[str, int] | None = None
    _own_size: int = 0

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
        view = memoryview(value).cast("B")
        size = len(view)
        if size > CHUNK_BYTES:
            raise LogError(
                f"A record of {size} bytes for {topic}: the most is {CHUNK_BYTES}.",
                remedy="Cut the value with consilia.log.interface.chunks.",
            )
        now, text = time.time(), header_text(headers)
        if size <= INLINE_BYTES and self._inline + size <= INLINE_TOTAL:
            self._inline += size
            self._add(topic, [Entry(key, text, now, bytes(view), None, None, None)])
        else:
            segment, position = self._write(view)
            self._add(topic, [Entry(key, text, now, None, segment, position, size)])

    def append_file(
        self, topic: str, path: Path, *, key_prefix: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Append a file in records of `CHUNK_BYTES`."""
        with plain_errors(path):
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):
                raise LogError(f"{path} is not a regular file.", remedy="Append a file's path.")
            if found.st_size <= INLINE_BYTES:
                value = path.read_bytes()
                if value:
                    self.append(topic, value, key=chunk_key(key_prefix, 0), headers=headers)
                return
            self._open()
            segment, size = self.segments.adopt(path)
        self.files.append(segment)
        now, text = time.time(), header_text(headers)
        self._add(
            topic,
            [
                Entry(chunk_key(key_prefix, i), text, now, None, segment, start, min(CHUNK_BYTES, size - start))
                for i, start in enumerate(range(0, size, CHUNK_BYTES))
            ],
        )

    def commit_offset(self, group: str, topic: str, offset: int) -> None:
        """Record how far `group` has come."""
        self._open()
        check(topic)
        self.offsets[group, topic] = offset

    def trim(self, topic: str, before: int) -> None:
        """Let go of the records below `before`."""
        self._open()
        check(topic)
        self.trims[topic] = max(before, self.trims.get(topic, 0))

    def appended(self, topic: str) -> Sequence[int]:
        """Where the records lie that were appended to the topic."""
        return self.places.get(topic, range(0))

    def empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not (self.entries or self.offsets or self.trims)

    def sync(self) -> None:
        """Bring the segments to the disk; the database may refer to them from then on."""
        if self.files:
            self.segments.sync(self.files)

    def end(self) -> None:
        """Refuse everything from now on, and let go of the segment."""
        self.ended = True
        if self._own is not None:
            os.close(self._own[1])
            self._own = None

    def _open(self) -> None:
        if self.ended:
            raise LogError("This transaction has ended.", remedy="Begin a new one with `producer.transaction()`.")

    def _add(self, topic: str, entries: Sequence[Entry]) -> None:
        self._open()
        if topic not in self.entries:
            check(topic)
        self.entries.setdefault(topic, []).extend(entries)

    def _write(self, view: memoryview) -> tuple[str, int]:
        self._open()
        with plain_errors(self.path):
            if self._own is None:
                self._own = self.segments.create()
                self.files.append(self._own[0])
            name, descriptor = self._own
            position, done = self._own_size, 0
            while done < len(view):
                done += os.pwrite(descriptor, view[done:], position + done)
        self._own_size += done  # only now: a write that failed half-way is written over by the next
        return name, position


def chunk_key(prefix: str | None, index: int) -> str | None:
    """The key of a file's chunk."""
    return None if prefix is None else f"{prefix}/{index}"


def header_text(headers: Mapping[str, str] | None) -> str | None:
    """Headers as the database keeps them."""
    return json.dumps(dict(headers), ensure_ascii=False, separators=(",", ":")) if headers else None


def write(database: Database, producer: tuple[int, int], transaction: SqliteTransaction) -> list[str]:
    """Write a transaction, all or nothing.

    Args:
        database: The log's index.
        producer: Id and epoch of the producer.
        transaction: What to write; its segments are on the disk.

    Returns:
        The segments that no record needs any more.

    Raises:
        FencedError: a newer producer of the same name exists.
    """
    with database.writing() as connection:
        check_epoch(connection, producer)
        for topic, entries in transaction.entries.items():
            transaction.places[topic] = write_records(connection, topic, entries)
        connection.executemany(
            "INSERT INTO committed VALUES (?, ?, ?) "
            "ON CONFLICT (consumer, topic) DO UPDATE SET offset = excluded.offset",
            ((group, topic, offset) for (group, topic), offset in transaction.offsets.items()),
        )
        for topic, before in transaction.trims.items():
            trim_topic(connection, topic, before)
        return take_unused_segments(connection)


def check_epoch(connection: sqlite3.Connection, producer: tuple[int, int]) -> None:
    """Refuse a producer of whose name a newer one exists."""
    identifier, epoch = producer
    name, newest = connection.execute("SELECT name, epoch FROM producer WHERE id = ?", (identifier,)).fetchone()
    if newest != epoch:
        raise FencedError(f"A newer process writes as {name!r} by now.", remedy="Stop this one.")


def write_records(connection: sqlite3.Connection, topic: str, entries: Sequence[Entry]) -> range:
    """Append entries to a topic, which is created uncompacted if it is absent; returns their offsets."""
    connection.execute("INSERT INTO topic (name, compacted) VALUES (?, 0) ON CONFLICT DO NOTHING", (topic,))
    identifier, compacted, first = connection.execute(
        "SELECT id, compacted, next_offset FROM topic WHERE name = ?", (topic,)
    ).fetchone()
    connection.executemany(
        "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((identifier, offset, *entry) for offset, entry in enumerate(entries, first)),
    )
    connection.execute("UPDATE topic SET next_offset = ? WHERE id = ?", (first + len(entries), identifier))
    if compacted:
        compact(connection, topic, ((identifier, entry.key, offset) for offset, entry in enumerate(entries, first)))
    return range(first, first + len(entries))


def compact(connection: sqlite3.Connection, topic: str, newest: Iterable[tuple[int, str | None, int]]) -> None:
    """Make these the newest records of their keys; a trigger removes the ones before them."""
    for identifier, key, offset in newest:
        if key is None:
            raise LogError(f"A record without a key for the compacted topic {topic}.", remedy="Give it a key.")
        connection.execute(
            "INSERT INTO newest VALUES (?, ?, ?) ON CONFLICT (topic, key) DO UPDATE SET offset = excluded.offset",
            (identifier, key, offset),
        )


def trim_topic(connection: sqlite3.Connection, topic: str, before: int) -> None:
    """Delete the records of a topic below an offset."""
    for table in ("newest", "record"):
        connection.execute(
            f"DELETE FROM {table} WHERE topic = (SELECT id FROM topic WHERE name = ?) AND offset < ?",  # noqa: S608
            (topic, before),
        )


def take_unused_segments(connection: sqlite3.Connection) -> list[str]:
    """Forget the segments that no record needs any more; their files may be deleted once this is committed."""
    unused = [name for (name,) in connection.execute("SELECT name FROM segment WHERE records = 0")]
    if unused:
        connection.execute("DELETE FROM segment WHERE records = 0")
    return unused
