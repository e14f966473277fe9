"""A process that bears the others: it imports the task's framework once and forks every hospital from itself.

Importing PyTorch takes seconds and hundreds of megabytes; forked children share both. The aggregator, which must not
have the framework, is started as a fresh interpreter instead. Commands come as JSON lines on standard input, births and
deaths go out as JSON lines on what was standard output before the task's module could print there. When the input ends,
because the runner stops or died, all is ended.
"""

import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from consilia_workers import programs
from consilia_workers.local import measure

PROGRAMS: dict[str, Callable[[Path], int]] = {**programs.PROGRAMS, "baselines": measure.main}


class Nursery:
    """The children, by process id."""

    def __init__(self, commands: int, events: int) -> None:
        """Descriptors: where commands come from, and where events go."""
        self._commands, self._events = commands, events
        self._children: dict[int, str] = {}

    def run(self) -> None:
        """Serve until the input ends."""
        wakeup, alarm = os.pipe()
        os.set_blocking(alarm, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._commands, selectors.EVENT_READ)
            selector.register(wakeup, selectors.EVENT_READ)
            pending = b""
            while True:
                ready = {key.fd for key, _ in selector.select()}
                if wakeup in ready:
                    os.read(wakeup, 1024)
                    self._reap()
                if self._commands in ready:
                    data = os.read(self._commands, 65536)
                    if not data:
                        self._end_all()
                        return
                    *lines, pending = (pending + data).split(b"\n")
                    for line in lines:
                        self._obey(json.loads(line))

    def _obey(self, command: dict[str, str]) -> None:
        match command["how"]:
            case "end":
                self._end_all()
            case "load":
                load(command["module"])
            case _:
                self._start(command)

    def _start(self, command: dict[str, str]) -> None:
        pid = self._fork(command) if command["how"] == "fork" else self._spawn(command)
        self._children[pid] = command["name"]
        self._tell({"event": "started", "name": command["name"], "pid": pid})

    def _fork(self, command: dict[str, str]) -> int:
        pid = os.fork()
        if pid:
            return pid
        status = programs.EXIT_FAILED
        try:
            os.close(self._commands)
            os.close(self._events)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _redirect(Path(command["output"]))
            status = programs.guarded(lambda: PROGRAMS[command["program"]](Path(command["settings"])))
        finally:  # whatever happens, the child must not go on as a second nursery
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _spawn(self, command: dict[str, str]) -> int:
        with Path(command["output"]).open("ab") as output:
            argv = [sys.executable, "-m", "consilia_workers", command["program"], command["settings"]]
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        process.returncode = 0  # reaped by this class, not by Popen
        return process.pid

    def _reap(self) -> None:
        for pid in list(self._children):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                name = self._children.pop(pid)
                self._tell({"event": "ended", "name": name, "pid": pid, "code": os.waitstatus_to_exitcode(status)})

    def _end_all(self) -> None:
        """Being killed anywhere is what the children are made for."""
        for pid in self._children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _tell(self, event: dict[str, str | int]) -> None:
        with suppress(BrokenPipeError):
            os.write(self._events, json.dumps(event).encode() + b"\n")


def _redirect(output: Path) -> None:
    """Standard output and error go to the child's own file."""
    target = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)


def _take_protocol() -> tuple[int, int]:
    """Keep standard input and output for the protocol, out of reach of whatever is imported or run here."""
    commands, events = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return commands, events


def load(module: str) -> None:
    """Import it; whatever is wrong with it, the program that needs it says in full."""
    with suppress(Exception, SystemExit):
        importlib.import_module(module)


def main() -> None:
    """`python -m consilia_workers.local.nursery MODULE`: import the module, so that the children have it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runner's to handle
    nursery = Nursery(*_take_protocol())
    load(sys.argv[1])
    if "torch" in sys.modules:
        importlib.import_module("consilia_workers.training.preload").preload()
    nursery.run()


if __name__ == "__main__":
    main()
