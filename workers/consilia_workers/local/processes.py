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

_QUICK = 60.0
"""A process that lives shorter than this, in seconds, may not have recovered."""
_PATIENCE = 25
"""So many quick deaths in a row, and it is not started again."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
"""Before who gave up for now is started again, in seconds: twice as long each time, as Kubernetes does."""


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
    again: bool = True
    """Whether it is started again when it was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A process ended."""

    name: str
    code: int
    """The exit code, or the negative number of the signal."""

    @property
    def how(self) -> str:
        """In words, where nothing that the process said explains it."""
        return f"killed by signal {-self.code}" if self.code < 0 else f"ended with code {self.code}"


@dataclass(slots=True)
class _Life:
    program: Program
    pid: int = 0
    started: float = field(default_factory=monotonic)
    quick_deaths: int = 0
    pause: float = 0.0
    due: float | None = None
    """When it is to be started again, if it waits for that."""

    def end(self, *, killed: bool) -> None:
        """It has ended, and would be due again at once after a kill, else after twice the pause of the last time."""
        quick = monotonic() - self.started < _QUICK
        self.pid = 0
        self.quick_deaths = self.quick_deaths + 1 if quick else 0
        before = self.pause if quick else 0.0
        self.pause = 0.0 if killed else min(max(2 * before, _FIRST_PAUSE), _LONGEST_PAUSE)
        self.due = monotonic() + self.pause


class Processes:
    """The processes of a run. Use as a context: everything ends with it."""

    def __init__(self, entry_module: str, output: Path) -> None:
        """`entry_module` is imported once for all; `output` takes what the nursery itself prints."""
        self._lives: dict[str, _Life] = {}
        self._revivals: list[Ended] = []
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

    def load(self, module: str) -> None:
        """Have it imported once for all that are forked from now on."""
        self._tell({"how": "load", "module": module})

    def end(self) -> None:
        """End all that still run; nothing more is heard of them."""
        self._lives.clear()
        self._tell({"how": "end"})

    def _command(self, program: Program) -> None:
        self._tell(
            {
                "name": program.name,
                "program": program.program,
                "settings": str(program.settings),
                "output": str(program.output),
                "how": program.how,
            }
        )

    def _tell(self, command: dict[str, str]) -> None:
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

    def revivals(self) -> list[Ended]:
        """Who was killed and started again, since the last call."""
        revivals, self._revivals = self._revivals, []
        return revivals

    def poll(self, timeout: float) -> Iterator[Ended]:
        """Wait up to `timeout` seconds for news; who was killed is started again, who ended by itself is reported.

        Who ended with code 75, try again later, is started again after a pause.
        """
        self._start_due()
        if not self._selector.select(timeout):
            return
        data = os.read(self._pipe_out(), 65536)
        if not data:
            raise RunError("the process that starts the hospitals has died.", remedy="Start again with --resume.")
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            event = json.loads(line)
            life = self._lives.get(event["name"])
            if life and event["event"] == "started":
                life.pid, life.started = event["pid"], monotonic()
            elif life and event["pid"] == life.pid:  # not one of the same name that was ended before
                yield from self._bury(life, Ended(name=event["name"], code=event["code"]))

    def _bury(self, life: _Life, ended: Ended) -> Iterator[Ended]:
        """Start it again if it was killed or gave up for now; tell if not."""
        killed = ended.code < 0
        life.end(killed=killed)
        if (killed or ended.code == os.EX_TEMPFAIL) and life.program.again and life.quick_deaths < _PATIENCE:
            self._revivals.append(ended)
            self._start_due()
        else:
            del self._lives[ended.name]
            yield ended

    def _start_due(self) -> None:
        for life in self._lives.values():
            if life.due is not None and monotonic() >= life.due:
                life.due = None
                self._command(life.program)

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
