"""Whether a process is gone: neither running nor a zombie."""

import os
import select
from contextlib import suppress


def ends_within(pid: int, seconds: float) -> bool:
    """Wait for any process of this machine, ours or not, to end; says whether it did."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        with suppress(OSError):
            os.close(descriptor)
