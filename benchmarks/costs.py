"""What processes cost while they run: CPU seconds, peak memory, and what the machine's other work took meanwhile."""

import time
from collections.abc import Mapping
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
    """Of a process and all its descendants, the dead ones included, in seconds."""
    machine: float
    """Of everything on the machine, in seconds."""

    @classmethod
    def now(cls, root: psutil.Process) -> "Moment":
        """Up to now, by `root` and all below it."""
        machine = psutil.cpu_times()
        return cls(time=time.time(), cpu=cpu_seconds(root), machine=machine.user + machine.system + machine.nice)


def cpu_seconds(root: psutil.Process) -> float:
    """CPU seconds of a process and its descendants; those that died count with whoever reaped them."""
    while True:
        tree = family(root)
        with suppress(psutil.NoSuchProcess):
            used = sum(sum(process.cpu_times()[:4]) for process in tree)
            # one that died in between is missing or counted twice
            if family(root) == tree:
                return used


def family(root: psutil.Process) -> list[psutil.Process]:
    """The process and all its living descendants."""
    return [root, *root.children(recursive=True)]


def other_cores(first: Moment, last: Moment) -> float:
    """Cores that the machine's other work kept busy between two moments; near 0 on a quiet machine."""
    others = (last.machine - first.machine) - (last.cpu - first.cpu)
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


class Disk:
    """The most that a folder has held, looked at four times a second at most: looking costs, too."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._next = folder, 0.0
        self.peak_mib = 0.0

    def note(self) -> None:
        """Look, if it is time."""
        if time.monotonic() >= self._next:
            self.look()
            self._next = time.monotonic() + 0.25

    def look(self) -> None:
        """Whatever the time."""
        self.peak_mib = max(self.peak_mib, held_mib(self._folder))


def held_mib(folder: Path) -> float:
    """What a folder's files occupy on the disk; one with two names, as an update handed to the log, counts once."""
    blocks: dict[int, int] = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # files come and go meanwhile
            status = path.lstat()
            blocks[status.st_ino] = status.st_blocks
    return sum(blocks.values()) * 512 / 2**20
