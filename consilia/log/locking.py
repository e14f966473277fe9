"""Advisory locks on directories: how processes see whether another one still lives."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PAUSE = 0.002
"""Seconds between two attempts. Locks that are waited for are held for milliseconds."""


def open_directory(directory: Path) -> int:
    """A descriptor to lock; the lock lasts until it is closed or its process dies."""
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def try_lock(descriptor: int) -> bool:
    """Lock an open directory, unless somebody else holds it; says whether that worked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock(descriptor: int, seconds: float) -> bool:
    """Lock an open directory as soon as it is free; says whether that worked within `seconds`."""
    deadline = time.monotonic() + seconds
    while not try_lock(descriptor):
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE)
    return True


@contextmanager
def locked_if_free(directory: Path) -> Iterator[bool]:
    """Lock a directory for the block if it is there and nobody holds it; says whether that worked."""
    try:
        descriptor = open_directory(directory)
    except (FileNotFoundError, NotADirectoryError):
        yield False
        return
    try:
        yield try_lock(descriptor) and exists(descriptor)
    finally:
        os.close(descriptor)


def exists(descriptor: int) -> bool:
    """Whether the open directory has not been deleted meanwhile."""
    return os.fstat(descriptor).st_nlink > 0
