"""What processes cost while they run: CPU seconds, memory, disk, and what the machine's other work took meanwhile."""

import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What was used up to one moment."""

    time: float
    """Seconds since the epoch."""
    cpu: float
    """Of a process and all its descendants but the broker, the dead ones included, in seconds."""
    machine: float
    """Of everything on the machine, in seconds."""
    broker: float = 0.0
    """Of the broker, in seconds; 0 if there is none."""

    @classmethod
    def now(cls, root: psutil.Process, broker: psutil.Process | None = None, *, less: float = 0.0) -> "Moment":
        """Up to now, by `root` and all below it, the broker apart, and without `less` seconds of measuring."""
        machine = psutil.cpu_times()
        return cls(
            time=time.time(),
            cpu=cpu_seconds(root, broker) - less,
            machine=machine.user + machine.system + machine.nice,
            broker=sum(broker.cpu_times()[:4]) if broker else 0.0,
        )


def cpu_seconds(root: psutil.Process, apart: psutil.Process | None = None) -> float:
    """CPU seconds of a process and its descendants but one; those that died count with whoever reaped them."""
    while True:
        tree = family(root)
        with suppress(psutil.NoSuchProcess):
            used = sum(sum(process.cpu_times()[:4]) for process in tree if process != apart)
            # one that died in between is missing or counted twice
            if family(root) == tree:
                return used


def family(root: psutil.Process) -> list[psutil.Process]:
    """The process and all its living descendants."""
    return [root, *root.children(recursive=True)]


def other_cores(first: Moment, last: Moment) -> float:
    """Cores that the machine's other work kept busy between two moments; near 0 on a quiet machine."""
    others = (last.machine - first.machine) - (last.cpu - first.cpu) - (last.broker - first.broker)
    return max(others, 0.0) / (last.time - first.time)


class Peaks:
    """The most memory that each process has held, kept when it is gone."""

    def __init__(self) -> None:
        self.mib: dict[str, float] = {}
        """By name."""

    def note(self, pids: Mapping[str, int]) -> None:
        """Look at those that live."""
        for name, pid in pids.items():
            with suppress(FileNotFoundError, ProcessLookupError):
                self.mib[name] = max(self.mib.get(name, 0.0), peak_mib(pid))


def peak_mib(pid: int) -> float:
    """Peak of resident memory, pages shared with other processes included; 0 for one that is dead and not reaped."""
    _, _, rest = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").partition("VmHWM:")
    return int(rest.split()[0]) / 1024 if rest else 0.0


Blocks = Mapping[tuple[int, int], int]
"""What each file occupies, in 512 bytes, by its device and number: one with two names counts once."""


class Disk:
    """The most that a folder and processes have held beyond what was there at first.

    Looked at four times a second at most: looking costs, too.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._next, self._before = folder, 0.0, held(folder)
        self.peak_mib = 0.0
        self.spent = 0.0
        """CPU seconds that looking has taken, which are no cost of what is looked at."""

    def note(self, pids: Iterable[int]) -> None:
        """Look, if it is time: what the folder holds, and the nameless files that these processes have open."""
        if time.monotonic() >= self._next:
            self.look(pids)
            self._next = time.monotonic() + 0.25

    def look(self, pids: Iterable[int] = ()) -> None:
        """Whatever the time."""
        begun = time.thread_time()
        self.peak_mib = max(self.peak_mib, grown_mib(self._before, held(self._folder, pids)))
        self.spent += time.thread_time() - begun


def held(folder: Path, pids: Iterable[int] = ()) -> Blocks:
    """What a folder's files and processes' nameless ones occupy on the disk."""
    found = (*_files(folder), *(each for pid in pids for each in _nameless(pid)))
    return {(status.st_dev, status.st_ino): status.st_blocks for status in found}


def grown_mib(before: Blocks, now: Blocks) -> float:
    """What came on top; what went meanwhile makes no room for it."""
    return sum(max(blocks - before.get(file, 0), 0) for file, blocks in now.items()) * 512 / 2**20


def _files(folder: Path) -> Iterator[os.stat_result]:
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # files come and go meanwhile
            yield path.lstat()


def _nameless(pid: int) -> Iterator[os.stat_result]:
    """A process's temporary files that it has removed already, so that they end with it."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                status = path.stat()
                if stat.S_ISREG(status.st_mode) and not status.st_nlink:
                    yield status
