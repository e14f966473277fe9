"""Segment files: where the large values of a SQLite log lie.

A producer that writes its first large value gets a directory `segments/<producer>.<epoch>/` of its own and keeps it
locked while it lives. Files appear there before the commit that refers to them. So a file to which no committed
record refers is rubbish as soon as nobody holds its directory's lock: its only possible owner is gone.
"""

import mmap
import os
import shutil
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path

from consilia.errors import LogError, LogUnavailableError
from consilia.log.locking import exists, lock, locked_if_free, open_directory

BUSY_SECONDS = 10.0
"""How long a producer waits for a collector that looks through its directory: that takes milliseconds."""
PAGE = mmap.ALLOCATIONGRANULARITY


class SegmentWriter:
    """One producer's directory of segments, locked from the first segment to `close`."""

    def __init__(self, root: Path, owner: str) -> None:
        self._root = root
        self._owner = owner
        self._lock: int | None = None
        self._count = 0

    def create(self) -> tuple[str, int]:
        """A new empty segment: its name, and a descriptor to write it with."""
        name = self._next_name()
        path = self._root / name
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        os.fchmod(descriptor, 0o600)  # whatever the umask
        return name, descriptor

    def adopt(self, source: Path) -> tuple[str, int]:
        """A segment with the bytes of `source`, which is linked if it is on the same disk: its name and size."""
        name = self._next_name()
        path = self._root / name
        try:
            os.link(source.resolve(), path)
        except OSError:  # another file system, or one without links, or somebody else's file: a copy serves as well
            self._copy(source, name)
        return name, path.stat().st_size

    def sync(self, names: Iterable[str]) -> None:
        """Make the segments survive a power cut."""
        for name in names:
            sync(self._root / name)
        sync(self._root / self._owner)

    def close(self) -> None:
        """Give the directory up: what no record refers to may be collected from now on."""
        if self._lock is not None:
            with suppress(OSError):  # not empty: records refer to the segments in it
                (self._root / self._owner).rmdir()
            os.close(self._lock)
            self._lock = None

    def _copy(self, source: Path, name: str) -> None:
        path = self._root / name
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
        try:
            shutil.copyfile(source, path)
        except BaseException:
            path.unlink()
            raise

    def _next_name(self) -> str:
        if self._lock is None:
            self._lock = own(self._root / self._owner)
            sync(self._root)
        self._count += 1
        return f"{self._owner}/{self._count}"


def own(directory: Path) -> int:
    """Make the directory and lock it; the lock lasts until the returned descriptor is closed."""
    while True:
        with suppress(FileExistsError):
            directory.mkdir(mode=0o700)
            with suppress(FileNotFoundError):  # a collector was faster; found out below
                directory.chmod(0o700)
        try:
            descriptor = open_directory(directory)
        except FileNotFoundError:  # a collector came in between and found it empty
            continue
        if not lock(descriptor, BUSY_SECONDS):
            os.close(descriptor)
            raise LogUnavailableError(f"Another process holds {directory}.", remedy="Look for a stopped process.")
        if exists(descriptor):
            return descriptor
        os.close(descriptor)


def collect(root: Path, committed: Callable[[str], Collection[str]]) -> None:
    """Delete the segments that dead producers left without a committed record.

    `committed(owner)` names the segments in `owner`'s directory that records refer to. It is asked while the
    directory is locked: by then its producer is dead, so the answer is final.
    """
    for directory in sorted(root.iterdir()):
        with locked_if_free(directory) as free:
            if free:
                found = {f"{directory.name}/{file.name}" for file in directory.iterdir()}
                if found:
                    remove(root, found.difference(committed(directory.name)))
                with suppress(OSError):  # not empty: it stays
                    directory.rmdir()


def remove(root: Path, names: Iterable[str]) -> None:
    """Delete segments; readers that have them mapped keep their bytes."""
    for name in names:
        (root / name).unlink(missing_ok=True)


def map_range(root: Path, name: str, start: int, end: int) -> memoryview:
    """The bytes `start` to `end` of a segment, mapped read-only; unmapped when the last view of them goes.

    Raises:
        FileNotFoundError: the segment has been deleted.
        LogError: the segment is shorter than its records say.
    """
    path = root / name
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_size < end:
            raise LogError(f"{path} is damaged: shorter than its records.", remedy="Restore the log from a backup.")
        first = start - start % PAGE
        mapped = mmap.mmap(descriptor, end - first, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ, offset=first)
    finally:
        os.close(descriptor)
    return memoryview(mapped)[start - first :]


def sync(path: Path) -> None:
    """Flush a file or directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
