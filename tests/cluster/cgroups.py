"""The control groups that a node's pods lie in, on machines with cgroup v1 and with v2."""

import contextlib
import time
from pathlib import Path

from tests.cluster.places import ClusterError

MOUNT = Path("/sys/fs/cgroup")
NEEDED = ("cpu", "cpuset", "memory", "pids")


def is_v2(mount: Path = MOUNT) -> bool:
    """Whether the machine has the unified hierarchy, with controllers in it."""
    return bool(_words(mount / "cgroup.controllers"))


def create(name: str) -> None:
    """Make the group, with every controller that the kubelet needs.

    Raises:
        ClusterError: control groups are missing or cannot be written.
    """
    try:
        _create_v2(name) if is_v2() else _create_v1(name)
    except OSError as error:
        message = f"the control group {name} cannot be made: {error}."
        raise ClusterError(message, remedy="Mount /sys/fs/cgroup writable (a container: privileged).") from None


def _create_v1(name: str) -> None:
    lacking = [controller for controller in NEEDED if not (MOUNT / controller).is_dir()]
    if lacking:
        message = f"{MOUNT} has no {', '.join(lacking)}."
        raise ClusterError(message, remedy="Mount the controllers of cgroup v1, or use a kernel with v2.")
    for controller in MOUNT.iterdir():
        if controller.is_dir() and not controller.is_symlink():
            (controller / name).mkdir(exist_ok=True)
    for file in ("cpuset.cpus", "cpuset.mems"):
        (MOUNT / "cpuset" / name / file).write_text((MOUNT / "cpuset" / file).read_text())


def _create_v2(name: str) -> None:
    """Children get a controller only if the parent says so, one by one as some may be refused."""
    (MOUNT / name).mkdir(exist_ok=True)
    for group in (MOUNT, MOUNT / name):
        for controller in _words(group / "cgroup.controllers"):
            with contextlib.suppress(OSError):
                (group / "cgroup.subtree_control").write_text(f"+{controller}")
    lacking = set(NEEDED) - set(_words(MOUNT / name / "cgroup.subtree_control"))
    if lacking:
        message = f"{MOUNT} does not hand {', '.join(sorted(lacking))} on to groups within."
        raise ClusterError(
            message, remedy="Move its processes into a group below, as docker and kind do, or use the host."
        )


def remove(name: str, patience: float = 10.0) -> None:
    """Remove the group and all within; the processes that were there may take a moment to be gone."""
    deadline = time.monotonic() + patience
    while leftover(name) and time.monotonic() < deadline:
        for group in leftover(name):
            for path in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
                with contextlib.suppress(OSError):
                    path.rmdir()
            with contextlib.suppress(OSError):
                group.rmdir()
        if leftover(name):
            time.sleep(0.1)


def leftover(name: str) -> list[Path]:
    """What there is of a group."""
    return [path for path in (MOUNT / name, *MOUNT.glob(f"*/{name}")) if path.is_dir()]


def _words(path: Path) -> list[str]:
    return path.read_text().split() if path.is_file() else []
