"""Runs a command and ends it when whoever started this ends, however that happens, also by SIGKILL.

Usage: python guard.py REPORT GRACE COMMAND [ARGUMENT ...]

Standard input is a pipe that the starter holds open. When it ends, since the starter wishes so or is no more, the
command is asked to end (SIGTERM), and after GRACE seconds made to (SIGKILL); a byte on it means SIGKILL at once. Should
this process be killed itself, the kernel kills the command (PR_SET_PDEATHSIG, Linux). REPORT is the number of an
inherited descriptor, where the command's process id is written. This ends only when the command has.

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


def obey(child: subprocess.Popen[bytes], grace: float) -> None:
    """Wait for a word on standard input or for its end, then end the child."""
    if os.read(0, 1):
        child.kill()
        return
    child.terminate()
    try:
        child.wait(grace)
    except subprocess.TimeoutExpired:
        child.kill()


def main(report: int, grace: float, command: list[str]) -> int:
    """Run the command to its end; its exit code, as a shell gives it."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        preexec_fn=end_with_parent,  # noqa: PLW1509 (no other thread runs yet)
    )
    os.write(report, b"%d" % child.pid)
    os.close(report)
    threading.Thread(target=obey, args=(child, grace), daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
