"""How a process keeps its memory. Payloads pass through buffers of a mebibyte, made and dropped by the hundred."""

import ctypes
import gc
import sys
from collections.abc import Callable

_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD = -3, -1, -2
"""glibc's names for `mallopt`, from malloc.h."""
_LARGEST_REUSED = 32 << 20
"""Buffers up to this size come from the heap, in bytes: glibc takes no more."""
_GROWTH = 4 << 20


UPDATES = 64 << 20
"""So many bytes are worth keeping for what is sent and received."""
PRIVATE_STEPS = 256 << 20
"""And so many for steps that hold the gradients of many records at once: a third of their time would be page faults."""


def reuse_freed_memory(kept: int = UPDATES) -> None:
    """Let freed buffers be used again, instead of given back to the system at once and asked for anew.

    By default glibc maps every buffer of 128 KiB or more on its own. The page faults were more than half of what it
    costs to read a model from Kafka (docs/decisions/0008-kafka-through-kafka-python.md). Up to `kept` bytes stay with
    the process that it could do without. Elsewhere than on glibc this does nothing.
    """
    if mallopt := _glibc("mallopt"):
        mallopt(_MMAP_THRESHOLD, _LARGEST_REUSED)
        mallopt(_TRIM_THRESHOLD, kept)
        mallopt(_TOP_PAD, _GROWTH)


def give_back_memory() -> None:
    """Let the system have what is free: the large part of the work is done. Elsewhere than on glibc only Python's."""
    gc.collect()
    if trim := _glibc("malloc_trim"):
        trim(0)


def _glibc(name: str) -> Callable[..., int] | None:
    found: Callable[..., int] | None = None
    if sys.platform.startswith("linux"):
        found = getattr(ctypes.CDLL(None), name, None)
    return found
