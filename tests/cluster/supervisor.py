"""The first process of a node, in namespaces of its own: sets up its file systems and keeps its programs running.

    python supervisor.py FOLDER HOSTNAME

What is to run stands in FOLDER/wanted, a file a program: {"argv": [...], "env": {...}}. Whoever changes it there sends
SIGHUP. A program that ends is started again a second later. Standard library only, and nothing of the project, so that
it starts at once.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PRIVATE = (
    "/var/lib/kubelet",
    "/var/lib/cni",
    "/var/log/pods",
    "/var/log/containers",
    "/run/containerd",
    "/run/netns",
)
"""Folders that a node writes to, wherever it is told to write: it gets its own."""
KERNEL = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""Kernel settings that the kubelet insists on and would write for the whole machine: it finds them in files of ours."""
NETWORK = {"ipv4/ip_forward": "1", "ipv4/conf/all/rp_filter": "0", "ipv4/conf/default/rp_filter": "0"}
"""Settings of the node's own network namespace."""
AGAIN = 1.0
"""Seconds until a program that ended is started again."""


def mount(*arguments: str) -> None:
    """Change what this mount namespace sees."""
    subprocess.run(["mount", *arguments], check=True)


def prepare(folder: Path, hostname: str) -> None:
    """Make the namespaces a node."""
    mount("--make-rshared", "/")
    mount("-t", "proc", "proc", "/proc")
    socket.sethostname(hostname)
    for name, value in KERNEL.items():
        own = folder / "kernel" / name
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_text(f"{value}\n")
        mount("--bind", str(own), f"/proc/sys/{name}")
    for path in PRIVATE:
        own = folder / "fs" / path.lstrip("/")
        own.mkdir(parents=True, exist_ok=True)
        Path(path).mkdir(parents=True, exist_ok=True)
        mount("--bind", str(own), path)
        mount("--make-shared", path)
    for name, value in NETWORK.items():
        Path("/proc/sys/net", name).write_text(value)


class Programs:
    """What is wanted, and what runs."""

    def __init__(self, folder: Path) -> None:
        self.wanted = folder / "wanted"
        self.logs = folder / "log"
        self.running: dict[int, str] = {}
        self.not_before: dict[str, float] = {}

    def start_missing(self) -> None:
        """Start what is wanted, does not run, and did not end just now."""
        running = set(self.running.values())
        for path in sorted(self.wanted.glob("*.json")):
            if path.stem not in running and time.monotonic() >= self.not_before.get(path.stem, 0.0):
                with contextlib.suppress(FileNotFoundError):
                    self.start(path.stem, json.loads(path.read_text()))

    def start(self, name: str, described: dict) -> None:
        """Start one program; what it says goes to its log."""
        log = os.open(self.logs / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            pid = os.posix_spawn(
                described["argv"][0],
                described["argv"],
                {"PATH": os.environ["PATH"], **described.get("env", {})},
                file_actions=[(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)],
                setsigmask=[],
            )
            self.running[pid] = name
        except OSError as error:
            os.write(log, f"--- {name} cannot be started: {error}\n".encode())
            self.not_before[name] = time.monotonic() + AGAIN
        finally:
            os.close(log)

    def reap(self) -> None:
        """Take note of what ended: our programs, and what was left to us by others."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if name := self.running.pop(pid, None):
                self.not_before[name] = time.monotonic() + AGAIN
                with (self.logs / f"{name}.log").open("a") as log:
                    log.write(f"--- {name} ended with {os.waitstatus_to_exitcode(status)}\n")


def main(folder: Path, hostname: str) -> None:
    """Never returns: the node lives as long as this does."""
    changes = {signal.SIGCHLD, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, changes)
    prepare(folder, hostname)
    (folder / "prepared").touch()
    programs = Programs(folder)
    while True:
        programs.reap()
        programs.start_missing()
        signal.sigtimedwait(changes, AGAIN / 2)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
