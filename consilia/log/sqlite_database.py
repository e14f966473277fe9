"""The index of a SQLite log: the file, its schema, and how SQLite's errors read to a user."""

import errno
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from consilia.errors import ConsiliaError, LogError, LogUnavailableError
from consilia.log.locking import lock, open_directory

APPLICATION_ID = 0x436F6E73  # "Cons": tells a log from any other SQLite file
SCHEMA_VERSION = 1
BUSY_SECONDS = 10.0
"""How long a commit waits for other writers. A commit takes milliseconds: more means that a process is stopped."""

SCHEMA = """
CREATE TABLE topic (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT NOT NULL UNIQUE,
    compacted   INTEGER NOT NULL,
    next_offset INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE record (
    topic     INTEGER NOT NULL,
    offset    INTEGER NOT NULL,
    key       TEXT,
    headers   TEXT,
    timestamp REAL NOT NULL,
    value     BLOB,
    segment   TEXT,
    position  INTEGER,
    length    INTEGER,
    PRIMARY KEY (topic, offset),
    CHECK ((value IS NULL) = (segment IS NOT NULL))
) WITHOUT ROWID;
CREATE TABLE newest (
    topic  INTEGER NOT NULL,
    key    TEXT NOT NULL,
    offset INTEGER NOT NULL,
    PRIMARY KEY (topic, key)
) WITHOUT ROWID;
CREATE TABLE segment (
    name    TEXT PRIMARY KEY,
    records INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX unused_segment ON segment (name) WHERE records = 0;
CREATE TABLE producer (
    id    INTEGER PRIMARY KEY,
    name  TEXT NOT NULL UNIQUE,
    epoch INTEGER NOT NULL
);
CREATE TABLE committed (
    consumer TEXT NOT NULL,
    topic    TEXT NOT NULL,
    offset   INTEGER NOT NULL,
    PRIMARY KEY (consumer, topic)
) WITHOUT ROWID;
CREATE TRIGGER compact AFTER UPDATE OF offset ON newest BEGIN
    DELETE FROM record WHERE topic = old.topic AND offset = old.offset;
END;
CREATE TRIGGER use_segment AFTER INSERT ON record WHEN new.segment IS NOT NULL BEGIN
    INSERT INTO segment VALUES (new.segment, 1) ON CONFLICT (name) DO UPDATE SET records = records + 1;
END;
CREATE TRIGGER leave_segment AFTER DELETE ON record WHEN old.segment IS NOT NULL BEGIN
    UPDATE segment SET records = records - 1 WHERE name = old.segment;
END;
"""
"""`record` holds a value itself or says where in a segment file it lies. `newest` knows the compacted topics' keys.

Triggers keep two invariants whoever writes: of a compacted key only the newest record stays, and `segment.records`
is the number of records that still need the file.
"""

DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
CANNOT_OPEN = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH}
LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}


class Database:
    """One connection to `log.db`, for one thread of one process."""

    def __init__(self, path: Path, *, busy_seconds: float = BUSY_SECONDS) -> None:
        """Open the file, which must be a log's index or empty; an empty one becomes a log's index."""
        self.path = path
        self._pid = os.getpid()
        with plain_errors(path):
            self._connection: sqlite3.Connection | None = sqlite3.connect(
                path, timeout=busy_seconds, isolation_level=None
            )
            try:
                prepare(self._connection, path, busy_seconds)
            except BaseException:
                self._connection.close()
                raise

    def connection(self) -> sqlite3.Connection:
        """The connection, if it is open and this is the process that opened it."""
        if self._connection is None:
            raise LogError(f"The log {self.path.parent} has been closed.", remedy="Open it again.")
        if os.getpid() != self._pid:
            raise LogError(
                f"The log {self.path.parent} was opened by process {self._pid} and is used by its child {os.getpid()}.",
                remedy="Open the log again in the child process.",
            )
        return self._connection

    def rows(self, sql: str, *parameters: object) -> Sequence[tuple[Any, ...]]:
        """All rows of one SELECT: one consistent moment of the log."""
        with plain_errors(self.path):
            return self.connection().execute(sql, parameters).fetchall()

    def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
        """A SELECT whose rows are fetched one by one; raises `sqlite3.Error`. Close the cursor."""
        return self.connection().execute(sql, parameters)

    def version(self) -> int:
        """A number that changes whenever another connection has committed."""
        return int(self.rows("PRAGMA data_version")[0][0])

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The one write transaction there is at a time: commits at the end, rolls back when the block raises."""
        with plain_errors(self.path):
            connection = self.connection()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        if self._connection is not None:
            with plain_errors(self.path):
                self.connection().close()
            self._connection = None


def prepare(connection: sqlite3.Connection, path: Path, busy_seconds: float) -> None:
    """Check what the file is, make it a log's index if it is empty, and set how this connection works."""
    # FULL: a commit that returned survives a power cut, and a segment is deleted only after the disk knows that
    # nothing refers to it.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA temp_store = MEMORY")
    if identity(connection) == (0, 0):
        with creating(path.parent, busy_seconds):
            create_schema(connection)
    application, version = identity(connection)
    if application != APPLICATION_ID:
        raise LogError(f"{path} is a database, but not a Consilia log.", remedy="Choose another directory for the log.")
    if version != SCHEMA_VERSION:
        raise LogError(
            f"The log {path} has format {version}; this version of Consilia knows format {SCHEMA_VERSION}.",
            remedy="Use the version of Consilia that wrote it, or start a new log in another directory.",
        )


def identity(connection: sqlite3.Connection) -> tuple[int, int]:
    """What kind of database this is and its format; (0, 0) is a new file or a stranger's."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return application, version


@contextmanager
def creating(directory: Path, busy_seconds: float) -> Iterator[None]:
    """Keep others from making the same log: SQLite itself does not wait for the change to WAL."""
    descriptor = open_directory(directory)
    try:
        if not lock(descriptor, busy_seconds):
            raise LogUnavailableError(
                f"Another process has been making the log {directory} for {busy_seconds:g} s.",
                remedy="Look for a stopped process, then try again.",
            )
        yield
    finally:
        os.close(descriptor)


def create_schema(connection: sqlite3.Connection) -> None:
    """Make an empty file a log's index; do nothing if it holds something by now."""
    if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
        raise LogError(
            "This file system cannot hold a log: SQLite's WAL does not work on it.", remedy="Use a local disk."
        )
    try:
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            for statement in statements(SCHEMA):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def statements(script: str) -> Iterator[str]:
    """The script's statements one by one: `executescript` would commit before it begins."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


class plain_errors(AbstractContextManager[None]):  # noqa: N801 (reads as a statement: `with plain_errors(path):`)
    """Turn what SQLite and the operating system raise inside into errors that name the file and the way out."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, sqlite3.Error):
            raise from_sqlite(error, self._path) from error
        if isinstance(error, OSError):
            raise from_system(error, self._path) from error
        if isinstance(error, UnicodeEncodeError | OverflowError):
            raise unfit(error, self._path) from error


def from_sqlite(error: sqlite3.Error, path: Path) -> ConsiliaError:
    """The error as the user should read it."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in LOCKED:
        return LogUnavailableError(
            f"The log {path} is locked by another process: {error}.",
            remedy="Look for a stopped process that has it open, then try again.",
        )
    if code in DAMAGE:
        return LogError(
            f"The log {path} is damaged or no log at all: {error}.",
            remedy="Restore the directory from a backup, or choose another one and start anew.",
        )
    if code in CANNOT_OPEN:
        return LogError(f"The log {path} cannot be opened for writing: {error}.", remedy="Check owner and permissions.")
    if isinstance(error, sqlite3.ProgrammingError):
        if "thread" in str(error):
            return LogError(f"The log {path} is used by a thread that did not open it.", remedy="Open one in each.")
        return unfit(error, path)
    return LogUnavailableError(f"The log {path} cannot be read or written: {error}.", remedy="Check disk and space.")


def unfit(error: Exception, path: Path) -> LogError:
    """Something that no log can hold: text that is not Unicode, a number beyond 64 bits, an object of another type."""
    return LogError(f"The log {path} cannot hold what it was given: {error}.", remedy="Correct the caller.")


def from_system(error: OSError, path: Path) -> ConsiliaError:
    """The error as the user should read it."""
    where = error.filename or path
    if error.errno in {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ENOENT,
        errno.ELOOP,
        errno.EEXIST,
        errno.ENAMETOOLONG,
    }:
        return LogError(f"{where}: {error.strerror}.", remedy="Check that the path exists and who may use it.")
    return LogUnavailableError(
        f"{where}: {error.strerror}.", remedy="Check disk, space and open files, then try again."
    )
