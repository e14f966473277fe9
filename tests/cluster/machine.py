"""A node as this machine sees it: one process holds its namespaces, and its end is the end of everything in them."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.cluster.commands import PATH, output
from tests.cluster.places import HERE, ClusterError

Found = TypeVar("Found")
UNSHARE = ("--mount", "--net", "--uts", "--pid", "--fork", "--kill-child=KILL", "--propagation=slave")


@dataclass(frozen=True, slots=True)
class Process:
    """A process that cannot be mistaken for a later one of the same number."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "Process":
        """The process that has this number now."""
        return cls(pid, started(pid) or 0)

    @property
    def lives(self) -> bool:
        """Whether it is still there."""
        return started(self.pid) == self.started

    def kill(self) -> None:
        """End it, and wait until it is gone."""
        if self.lives:
            os.kill(self.pid, signal.SIGKILL)
        until(lambda: not self.lives, f"process {self.pid} does not end", patience=30, every=0.02)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)


def started(pid: int) -> int | None:
    """When a process was started, in ticks since boot; None for one that is dead or was never there."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else int(fields[18])


def until(done: Callable[[], Found], problem: str, *, patience: float, every: float = 0.1) -> Found:
    """Ask until the answer is yes, and return it.

    Raises:
        ClusterError: it is still no after `patience` seconds.
    """
    deadline = time.monotonic() + patience
    while not (answer := done()):
        if time.monotonic() > deadline:
            raise ClusterError(f"{problem} after {patience:g} s.", remedy="Look at the logs of the node's programs.")
        time.sleep(every)
    return answer


def command(folder: Path, hostname: str) -> list[str]:
    """What becomes a node: `supervisor.py` as the first process of new namespaces."""
    python = [os.path.realpath(sys.executable), "-I", str(HERE / "supervisor.py")]
    return ["/usr/bin/env", "--chdir=/", f"PATH={PATH}", "unshare", *UNSHARE, *python, str(folder), hostname]


def prepare(folder: Path, files: Mapping[str, str]) -> None:
    """Make a node's folder anew, with its configuration files."""
    for name in ("wanted", "held", "log"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def start(folder: Path, hostname: str) -> Process:
    """Start a node, in which nothing runs yet; it outlives us. The process returned holds it."""
    log = os.open(folder / "log" / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, log, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
        ]
        words = command(folder, hostname)
        return Process.of(os.posix_spawn(words[0], words, dict(os.environ), file_actions=actions, setsid=True))
    finally:
        os.close(log)


def first_process(holder: Process, folder: Path) -> Process:
    """The node's first process, once it has prepared the node.

    Raises:
        ClusterError: it ended; its log says why.
    """

    def prepared() -> bool:
        if not holder.lives:
            said = (folder / "log" / "supervisor.log").read_text()[-2000:]
            raise ClusterError(f"the node's namespaces ended at once: {said}", remedy="Are we root with all rights?")
        return (folder / "prepared").exists()

    until(prepared, f"{folder.name} is not prepared", patience=30, every=0.02)
    return Process.of(children(holder.pid)[0])


def children(pid: int) -> list[int]:
    """The processes that a process started, or was left with."""
    try:
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except FileNotFoundError:
        return []


def want(folder: Path, first: Process, programs: Mapping[str, Sequence[str]], env: Mapping[str, str]) -> None:
    """Have these programs run in a node, and start again whenever they end."""
    for name, argv in programs.items():
        described = folder / "wanted" / f".{name}.incomplete"
        described.write_text(json.dumps({"argv": list(argv), "env": dict(env)}))
        described.rename(folder / "wanted" / f"{name}.json")
    os.kill(first.pid, signal.SIGHUP)


def running(folder: Path, first: Process) -> dict[str, Process]:
    """Which of the programs wanted in a node run: name to process."""
    wanted = {path.stem for path in (folder / "wanted").glob("*.json")}
    found = {name_of(pid): Process.of(pid) for pid in children(first.pid)}
    return {name: process for name, process in found.items() if name in wanted and process.lives}


def holder_of(folder: Path, first: Process) -> Process:
    """The process that holds a node within a node.

    Raises:
        ClusterError: there is none.
    """
    for pid in children(first.pid):
        if str(folder) in _words(pid):
            return Process.of(pid)
    raise ClusterError(f"no {folder.name} runs.", remedy="Add it by add_worker().")


def name_of(pid: int) -> str:
    """What a process was started as."""
    return _words(pid)[0].rpartition("/")[2]


def _words(pid: int) -> list[str]:
    """A process's command line; one empty word for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return [""]


def inside(first: Process, *words: str | Path, timeout: float = 120) -> str:
    """What a command prints that is run in a node."""
    entered = ("nsenter", f"--target={first.pid}", "--mount", "--net", "--uts", "--pid", "--wd=/")
    return output(*entered, *words, timeout=timeout)
