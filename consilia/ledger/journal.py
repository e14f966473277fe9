"""The file of a ledger: appended to, synced to the disk before anything counts, one writer at a time.

Many processes and threads may hold the same ledger open. Each takes the lock, reads what others have added, decides,
and appends. An entry exists once its line, with its line break, is on the disk; what was cut short by a crash was told
nobody, and is cut off.
"""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from consilia.errors import LedgerError, LedgerRefusedError
from consilia.ledger.chain import REMEDY, Chain
from consilia.ledger.entries import AnyEntry
from consilia.wire.identity import Identity

NAME = "ledger.jsonl"
LOCK = "ledger.lock"


class Journal:
    """One process's view of the file; safe to use from several threads."""

    def __init__(
        self,
        folder: Path,
        identity: Identity,
        take_in: Callable[[AnyEntry], None],
        rehearse: Callable[[AnyEntry], None] = lambda _entry: None,
    ) -> None:
        """`folder` is made if absent, for its owner only; `take_in` hears every entry once, in order.

        `rehearse` hears each before it is written, and raises a LedgerError where `take_in` would.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / NAME
        self._identity, self._take_in, self._rehearse = identity, take_in, rehearse
        self._chain, self._read, self._last = Chain(), 0, b""
        self._threads = threading.Lock()
        self._lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        _sync_folder(folder)

    @contextmanager
    def held(self) -> Iterator[Chain]:
        """Nobody else appends meanwhile, and all that others have appended is taken in.

        Raises:
            LedgerError: the file was changed otherwise than by appending.
        """
        with self._threads:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            try:
                self._catch_up()
                yield self._chain
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)

    def append(self, entry: AnyEntry) -> AnyEntry:
        """Add an entry, durably; only while `held`. What is returned is what the file has, with number and time.

        Raises:
            LedgerError: it could not be written, or not be read again; then it does not count.
        """
        dated = entry.model_copy(update={"at": moment(datetime.now(UTC))})
        try:
            chained, line = self._chain.extend(dated, self._identity)
            self._rehearse(chained)
        except LedgerError as error:
            message = f"what the ledger could not read again is not written: {error.message}"
            raise LedgerError(message, remedy="The ledger is as it was. Correct what is asked of it.") from error
        self._write(line + b"\n")
        self._chain.follow(line)
        self._take_in(chained)
        return chained

    def _write(self, line: bytes) -> None:
        before = self._read
        try:
            _write_all(self._file, line)
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, before)
            message = f"the ledger {self.path} cannot be written: {error}."
            raise LedgerRefusedError(
                message, remedy="Free space or repair its volume; nothing is released meanwhile."
            ) from error
        self._read, self._last = before + len(line), line

    def _catch_up(self) -> None:
        size = os.fstat(self._file).st_size
        start = self._read - len(self._last)
        found = os.pread(self._file, max(size - start, 0), start)
        if not found.startswith(self._last) or not _same_file(self._file, self.path):
            message = f"the ledger {self.path} was cut or replaced while it was in use."
            raise LedgerError(message, remedy=REMEDY)
        fresh = found[len(self._last) :]
        whole = fresh[: fresh.rfind(b"\n") + 1]
        for line in whole.splitlines(keepends=True):
            self._take_in(self._chain.follow(line.removesuffix(b"\n")))
            self._read, self._last = self._read + len(line), line
        if len(whole) < len(fresh):  # a crash in the middle of a write: nobody was told of that entry
            os.ftruncate(self._file, self._read)
            os.fsync(self._file)


def _write_all(descriptor: int, line: bytes) -> None:
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _same_file(descriptor: int, path: Path) -> bool:
    ours = os.fstat(descriptor)
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return (ours.st_ino, ours.st_dev) == (there.st_ino, there.st_dev)


def write_durably(path: Path, data: bytes) -> None:
    """A small file for its owner only: whole and on the disk, or not there."""
    partial = path.with_name(f"{path.name}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_entries(
    path: Path, progress: Callable[[int], None] = lambda _bytes: None
) -> tuple[list[AnyEntry], Chain, bytes]:
    """All entries of a file, verified; the chain; and what a crash left behind the last one.

    `progress` hears how many bytes of the file are done. For readers that have no key and add nothing.

    Raises:
        LedgerError: the file is missing, or an entry breaks the chain.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LedgerError(
            f"cannot read the ledger {path}: {error.strerror}.", remedy="Name a ledger's file."
        ) from error
    end = content.rfind(b"\n") + 1
    chain, entries, done = Chain(), [], 0
    for line in content[:end].splitlines(keepends=True):
        entries.append(chain.follow(line.removesuffix(b"\n")))
        progress(done := done + len(line))
    return entries, chain, content[end:]


def moment(when: datetime) -> str:
    """As entries have it."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def instant(text: str) -> datetime:
    """The time that `moment` wrote."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
