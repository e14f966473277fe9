"""The runner's side of the nursery: start processes, hear of their end, start them again."""

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Literal, Self

from consilia.errors import RunError

_QUICK = 1.0
"""A process that lives shorter than this, in seconds, has not recovered."""
_PATIENCE = 10
"""So many quick deaths in a row, and it is not started again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One process to run."""

    name: str
    """Unique within the run."""
    program: str
    settings: Path
    output: Path
    """Where its standard output and error go."""
    how: Literal["fork", "spawn"] = "fork"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A process ended for good."""

    name: str
    code: int
    """The exit code, or the negative number of the signal."""


@dataclass(slots=True)
class _Life:
    program: Program
    pid: int = 0
    started: float = field(default_factory=monotonic)
    quick_deaths: int = 0


class Processes:
    """The processes of a run. Use as a context: everything ends with it."""

    def __init__(self, entry_module: str, output: Path) -> None:
        """`entry_module` is imported once for all; `output` takes what the nursery itself prints."""
        self._lives: dict[str, _Life] = {}
        with output.open("ab") as stderr:
            self._nursery = subprocess.Popen(
                [sys.executable, "-m", "consilia_workers.local.nursery", entry_module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path])},
            )
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe_out(), selectors.EVENT_READ)
        self._pending = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pipe_out(self) -> int:
        assert self._nursery.stdout is not None
        return self._nursery.stdout.fileno()

    def start(self, program: Program) -> None:
        """Start it; `poll` tells when it ends."""
        self._lives[program.name] = _Life(program)
        self._command(program)

    def _command(self, program: Program) -> None:
        command = {
            "name": program.name,
            "program": program.program,
            "settings": str(program.settings),
            "output": str(program.output),
            "how": program.how,
        }
        assert self._nursery.stdin is not None
        try:
            self._nursery.stdin.write(json.dumps(command).encode() + b"\n")
            self._nursery.stdin.flush()
        except BrokenPipeError as error:
            raise RunError(
                "the process that starts the hospitals has died.", remedy="Start again with --resume."
            ) from error

    def names(self) -> set[str]:
        """Those that have not ended for good."""
        return set(self._lives)

    def pids(self) -> dict[str, int]:
        """The process ids of those that run."""
        return {name: life.pid for name, life in self._lives.items() if life.pid}

    def poll(self, timeout: float) -> Iterator[Ended]:
        """Wait up to `timeout` seconds for news; who was killed is started again, who ended by itself is reported."""
        if not self._selector.select(timeout):
            return
        data = os.read(self._pipe_out(), 65536)
        if not data:
            raise RunError("the process that starts the hospitals has died.", remedy="Start again with --resume.")
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            event = json.loads(line)
            life = self._lives[event["name"]]
            if event["event"] == "started":
                life.pid, life.started = event["pid"], monotonic()
            elif not self._revived(life, event["code"]):
                del self._lives[event["name"]]
                yield Ended(name=event["name"], code=event["code"])

    def _revived(self, life: _Life, code: int) -> bool:
        life.pid = 0
        quick = monotonic() - life.started < _QUICK
        life.quick_deaths = life.quick_deaths + 1 if quick else 0
        crashed = code < 0 or code == os.EX_TEMPFAIL
        if not crashed or life.quick_deaths >= _PATIENCE:
            return False
        self._command(life.program)
        return True

    def close(self) -> None:
        """End everything, at once: whatever is cut off is taken up again from the log."""
        assert self._nursery.stdin is not None
        with suppress(BrokenPipeError):
            self._nursery.stdin.close()
        try:
            self._nursery.wait(10)
        except subprocess.TimeoutExpired:
            self._nursery.send_signal(signal.SIGKILL)
            self._nursery.wait()
        self._selector.close()
        self._pipe_close()

    def _pipe_close(self) -> None:
        assert self._nursery.stdout is not None
        self._nursery.stdout.close()
