"""The log of one machine: a directory with an index in SQLite and large values in files beside it.

    log.db      topics, records, producers, committed offsets; small values
    segments/   large values, one directory per producer that wrote any

Why large values lie outside: docs/decisions/0002-large-payloads-beside-sqlite.md.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from consilia.errors import ConsiliaError, LogError, RecordGoneError
from consilia.log.interface import Record
from consilia.log.segments import SegmentWriter, collect, remove, sync
from consilia.log.sqlite_database import BUSY_SECONDS, Database, plain_errors
from consilia.log.sqlite_records import SELECT_RECORDS, Row, to_records, within
from consilia.log.sqlite_transaction import SqliteTransaction, take_unused_segments, write
from consilia.log.topics import check

READ_BYTES = 8 << 20
"""About how much one `read` returns at most: what a reader holds while it follows a topic."""
FIRST_PAUSE, LONGEST_PAUSE, PAUSE_GROWTH = 0.0005, 0.02, 1.25
"""How `wait` polls, in seconds: about an eighth of the time waited so far is lost at the end, at most 20 ms."""

SELECT_READABLE = """
SELECT 1 FROM json_each(?) AS position CROSS JOIN topic ON topic.name = position.key
WHERE EXISTS (SELECT 1 FROM record WHERE record.topic = topic.id AND record.offset >= position.value) LIMIT 1
"""


class SqliteLog:
    """A connection to the log in a directory; see `consilia.log.interface.Log`."""

    def __init__(self, directory: Path, *, busy_seconds: float = BUSY_SECONDS) -> None:
        """Open the log in `directory`, which is made if it is absent.

        Raises:
            LogError: it is no log, damaged, of a newer format, or not ours to write.
            LogUnavailableError: another process kept it locked for `busy_seconds`.
        """
        self._directory = directory.absolute()
        self._segments = self._directory / "segments"
        with plain_errors(self._directory):
            make_files(self._directory)
        self._database = Database(self._directory / "log.db", busy_seconds=busy_seconds)
        self._producers: list[SqliteProducer] = []
        with plain_errors(self._segments):
            collect(self._segments, self._committed_segments)

    def producer(self, name: str, *, topics: Sequence[str] = (), group: str | None = None) -> "SqliteProducer":
        """Open the producer `name`, fencing any older one."""
        if not name:
            raise LogError("A producer needs a name.", remedy="Give it one.")
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO producer (name, epoch) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET epoch = epoch + 1",
                (name,),
            )
            identity = connection.execute("SELECT id, epoch FROM producer WHERE name = ?", (name,)).fetchone()
        self._producers.append(SqliteProducer(self._database, self._segments, identity))
        return self._producers[-1]

    def create_topic(self, topic: str, *, compacted: bool = False) -> None:
        """Make the topic if it is absent."""
        check(topic)
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO topic (name, compacted) VALUES (?, ?) ON CONFLICT DO NOTHING", (topic, compacted)
            )
            (kind,) = connection.execute("SELECT compacted FROM topic WHERE name = ?", (topic,)).fetchone()
        if kind != compacted:
            raise LogError(
                f"The topic {topic} exists, {'' if kind else 'not '}compacted.",
                remedy="Delete it first, or keep it so.",
            )

    def topics(self) -> Sequence[str]:
        """All topics, sorted."""
        return [name for (name,) in self._database.rows("SELECT name FROM topic ORDER BY name")]

    def delete_topic(self, topic: str) -> None:
        """Delete the topic, its records and its committed offsets."""
        with self._database.writing() as connection:
            for table in ("newest", "record"):
                connection.execute(
                    f"DELETE FROM {table} WHERE topic = (SELECT id FROM topic WHERE name = ?)",  # noqa: S608
                    (topic,),
                )
            connection.execute("DELETE FROM committed WHERE topic = ?", (topic,))
            connection.execute("DELETE FROM topic WHERE name = ?", (topic,))
            unused = take_unused_segments(connection)
        remove(self._segments, unused)

    def read(self, topic: str, offset: int, *, max_records: int = 64) -> Sequence[Record]:
        """The committed records from `offset` on."""
        missing: set[str] = set()
        while True:
            rows = self._rows(topic, offset, max_records)
            with plain_errors(self._segments):
                try:
                    return to_records(self._segments, topic, rows)
                except FileNotFoundError as error:
                    # Trimmed since the SELECT, so that a new one will not find it; if it does, the file is lost.
                    if error.filename in missing:
                        raise LogError(
                            f"{error.filename} is missing.", remedy="Restore the log from a backup."
                        ) from None
                    missing.add(error.filename)

    def record(self, topic: str, offset: int) -> Record:
        """The one record at `offset`."""
        records = self.read(topic, offset, max_records=1)
        if records and records[0].offset == offset:
            return records[0]
        if offset < self.end_offset(topic):
            raise RecordGoneError(f"Record {offset} of {topic} is gone.", remedy="Go on from a newer one.")
        raise RecordGoneError(f"{topic} has no record {offset} yet.", remedy="Wait for it.")

    def keep(self, record: Record) -> None:
        """Nothing to do: it lies on this machine's disk."""

    def end_offset(self, topic: str) -> int:
        """The offset that the next record will have."""
        rows = self._database.rows("SELECT next_offset FROM topic WHERE name = ?", topic)
        return int(rows[0][0]) if rows else 0

    def committed(self, group: str, topic: str) -> int | None:
        """Where `group` stands on `topic`."""
        rows = self._database.rows("SELECT offset FROM committed WHERE consumer = ? AND topic = ?", group, topic)
        return int(rows[0][0]) if rows else None

    def wait(self, positions: Mapping[str, int], timeout: float) -> bool:
        """Sleep until there is something to read."""
        deadline, pause, wanted = time.monotonic() + timeout, FIRST_PAUSE, json.dumps(dict(positions))
        while True:
            version = self._database.version()
            if self._database.rows(SELECT_READABLE, wanted):
                return True
            while self._database.version() == version:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                time.sleep(min(pause, left))
                pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE)

    def close(self) -> None:
        """Release the connection and its producers."""
        for producer in self._producers:
            producer.close()
        self._database.close()

    def _rows(self, topic: str, offset: int, most: int) -> Sequence[Row]:
        with (
            plain_errors(self._database.path),
            closing(self._database.execute(SELECT_RECORDS, topic, offset, most)) as rows,
        ):
            return within(rows, READ_BYTES)

    def _committed_segments(self, owner: str) -> set[str]:
        rows = self._database.rows("SELECT name FROM segment WHERE name > ? AND name < ?", f"{owner}/", f"{owner}0")
        return {name for (name,) in rows}


class SqliteProducer:
    """A named writer; see `consilia.log.interface.Producer`."""

    def __init__(self, database: Database, segments: Path, identity: tuple[int, int]) -> None:
        """`identity` is the producer's id and epoch in the database."""
        self._database = database
        self._root = segments
        self._identity = identity
        self._segments = SegmentWriter(segments, "{}.{}".format(*identity))
        self._open: SqliteTransaction | None = None
        self._closed = False

    @contextmanager
    def transaction(self) -> Iterator[SqliteTransaction]:
        """All or nothing."""
        transaction = self._begin()
        try:
            yield transaction
            self._commit(transaction)
        except BaseException:
            self._discard(transaction)
            raise
        finally:
            transaction.end()
            self._open = None

    def close(self) -> None:
        """Release the directory of segments; a transaction that is open will not commit."""
        self._closed = True
        with plain_errors(self._root):
            self._segments.close()

    def _begin(self) -> SqliteTransaction:
        self._usable()
        if self._open is not None:
            raise LogError("This producer has a transaction open.", remedy="End it first, or open another producer.")
        self._open = SqliteTransaction(self._root, self._segments)
        return self._open

    def _commit(self, transaction: SqliteTransaction) -> None:
        self._usable()
        if transaction.empty():
            return
        with plain_errors(self._root):
            transaction.sync()
        unused = write(self._database, self._identity, transaction)
        with plain_errors(self._root):
            remove(self._root, unused)

    def _discard(self, transaction: SqliteTransaction) -> None:
        """Delete the segments of a transaction that failed, unless its commit came through before the exception."""
        with suppress(ConsiliaError), plain_errors(self._root):  # what cannot be deleted now is collected later
            for name in transaction.files:
                if not self._database.rows("SELECT 1 FROM segment WHERE name = ?", name):
                    remove(self._root, [name])

    def _usable(self) -> None:
        self._database.connection()
        if self._closed:
            raise LogError("This producer has been closed.", remedy="Open it again.")


def make_files(directory: Path) -> None:
    """Make what is absent of a log's directory, for its owner's eyes only whatever the umask."""
    if not directory.exists():
        directory.mkdir(parents=True, mode=0o700, exist_ok=True)
        directory.chmod(0o700)
    with suppress(FileExistsError):
        (directory / "segments").mkdir(mode=0o700)
        (directory / "segments").chmod(0o700)
    # An existing file is not opened here: closing it again would drop the locks of this process's other connections.
    with suppress(FileExistsError):
        descriptor = os.open(directory / "log.db", os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        os.fchmod(descriptor, 0o600)
        os.close(descriptor)
        sync(directory)
