"""Runs a command and ends it when whoever started this ends, however that happens, also by SIGKILL.

Usage: python guard.py LIFE GRACE COMMAND [ARGUMENT ...]

Standard input is a pipe that the starter holds open and never writes to: its end is the starter's. The command is then
asked to end (SIGTERM), and after GRACE seconds made to (SIGKILL). Should this process be killed itself, the kernel
kills the command (PR_SET_PDEATHSIG, Linux). LIFE is the number of an inherited descriptor: the command's process id is
written to it, and since the command inherits it too, the other end reads its end only when both are gone.

Only the standard library, and little of it: this starts with `python -I -S`, in some 20 ms.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading

PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends: here, the guard's only lasting one."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_with_starter(child: subprocess.Popen[bytes], grace: float) -> None:
    """Wait for the end of standard input, then end the child."""
    while os.read(0, 1):
        pass
    child.terminate()
    try:
        child.wait(grace)
    except subprocess.TimeoutExpired:
        child.kill()


def main(life: int, grace: float, command: list[str]) -> int:
    """Run the command to its end; its exit code, as a shell gives it."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        close_fds=False,
        preexec_fn=end_with_parent,  # noqa: PLW1509 (no other thread runs yet)
    )
    os.write(life, b"%d\n" % child.pid)
    threading.Thread(target=end_with_starter, args=(child, grace), daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
