"""A process that ends with us: started through guard.py, asked to end, killed, waited for."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from consilia.broker import guard

GRACE_SECONDS = 15.0
"""How long the process may take to end when asked; then it is killed."""
KILL_SECONDS = 15.0
"""How long the kernel may take to clear a killed process away."""


class Guarded:
    """A process and its guard, in a process group of their own: Ctrl-C reaches us, and we end them."""

    def __init__(self, command: Sequence[str], log: Path, directory: Path) -> None:
        """Start it in `directory`; what it prints is appended to `log`."""
        self._life, theirs = os.pipe()
        guarding = [sys.executable, "-I", "-S", guard.__file__, str(theirs), str(GRACE_SECONDS)]
        try:
            with log.open("ab") as output:
                self._guard = subprocess.Popen(
                    [*guarding, *command],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=[theirs],
                    cwd=directory,
                    env={**os.environ, "LC_ALL": "C.UTF-8"},  # else Java 17 cannot name a file beyond ASCII
                    start_new_session=True,
                )
        finally:
            os.close(theirs)
        self._gone = False
        self.pid = int(os.read(self._life, 32) or b"0")
        """The process itself, not its guard; 0 if it could not be started."""

    def running(self) -> bool:
        """Whether it still runs."""
        return self._guard.poll() is None

    def ask_to_end(self) -> None:
        """Let go of it, so that its guard ends it; returns at once."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()

    def kill(self) -> None:
        """End process and guard this instant (SIGKILL)."""
        if self.running():
            os.killpg(self._guard.pid, signal.SIGKILL)

    def wait(self, seconds: float = GRACE_SECONDS + KILL_SECONDS) -> bool:
        """Wait until both are gone, and with them their files and ports; says whether they are."""
        deadline = monotonic() + seconds
        while not self._gone and select.select([self._life], [], [], max(0.0, deadline - monotonic()))[0]:
            self._gone = not os.read(self._life, 32)
            if self._gone:
                self._forget()
        return self._gone

    def _forget(self) -> None:
        self.ask_to_end()
        self._guard.wait()
        os.close(self._life)
