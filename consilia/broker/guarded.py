"""A process that ends with us: started through guard.py, asked to end, killed, waited for."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from consilia.broker import guard

GRACE_SECONDS = 15.0
"""How long the process may take to end when asked; then it is killed."""
KILL_SECONDS = 15.0
"""How long the kernel may take to clear a killed process away."""


class Guarded:
    """A process and its guard, in a process group of their own: Ctrl-C reaches us, and we end them."""

    def __init__(self, command: Sequence[str], log: Path, directory: Path, *, keep: Sequence[int] = ()) -> None:
        """Start it in `directory`; what it prints is appended to `log`.

        The guard holds the descriptors `keep` open, and with them their locks, as long as the process lives.
        """
        report, theirs = os.pipe()
        guarding = [sys.executable, "-I", "-S", guard.__file__, str(theirs), str(GRACE_SECONDS)]
        try:
            with log.open("ab") as output:
                self._guard = subprocess.Popen(
                    [*guarding, *command],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=[theirs, *keep],
                    cwd=directory,
                    env={**os.environ, "LC_ALL": "C.UTF-8"},  # else Java 17 cannot name a file beyond ASCII
                    start_new_session=True,
                )
        finally:
            os.close(theirs)
        with os.fdopen(report) as told:
            self.pid = int(told.read() or "0")
            """The process itself, not its guard; 0 if it could not be started."""

    def running(self) -> bool:
        """Whether it still runs."""
        return self._guard.poll() is None

    def ask_to_end(self) -> None:
        """Let go of it, so that its guard ends it; returns at once."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()

    def kill(self) -> None:
        """End it this instant (SIGKILL)."""
        assert self._guard.stdin is not None
        if not self.running():
            return
        if self._guard.stdin.closed:  # asked to end before, the guard hears no more
            os.killpg(self._guard.pid, signal.SIGKILL)
            return
        with suppress(BrokenPipeError):
            os.write(self._guard.stdin.fileno(), b"!")
        self.ask_to_end()

    def wait(self, seconds: float | None = GRACE_SECONDS + KILL_SECONDS) -> bool:
        """Wait until it is gone, and with it its files and ports; says whether it is. None is for ever."""
        try:
            self._guard.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self.ask_to_end()
        return True
