"""A confined process makes no system call by which it could outlive its end, reach another or mark a file."""

import ctypes
import os
import platform
import resource
import signal
import struct
import subprocess
import sys
import threading
import time

import psutil
import pytest
from confining import tried

from consilia_workers.sandbox import kernel
from consilia_workers.sandbox.keeper import Confined, Confinement

pytestmark = pytest.mark.usefixtures("landlock")


def call(name, *arguments):
    """A system call by its number, as whoever goes around libc makes it."""
    machine = platform.machine()
    number = {**kernel._CALLS[machine], **kernel._LIMITED[machine]}.get(name)
    if number is None:
        raise PermissionError(f"{machine} has no {name}")
    libc = ctypes.CDLL(None, use_errno=True)
    found = libc.syscall(number, *arguments)
    if found < 0:
        raise OSError(ctypes.get_errno(), name)
    return found


SIGNAL = 17
"""SIGCHLD, which fork asks for."""


def lasting(start):
    """In the process: a child that sleeps on whatever becomes of its parent."""

    def run():
        child = start()
        if child == 0:
            os.setsid()
            time.sleep(60)
            os._exit(0)
        return child

    return run


def under_clone3():
    arguments = struct.pack("11Q", *(0, 0, 0, 0, SIGNAL, 0, 0, 0, 0, 0, 0))
    return call("clone3", arguments, len(arguments))


BIRTHS = {
    "fork": os.fork,
    "fork by number": lambda: call("fork"),
    "clone": lambda: call("clone", SIGNAL, 0, 0, 0, 0),
    "clone beside its parent": lambda: call("clone", SIGNAL | 0x8000, 0, 0, 0, 0),
    "clone3": under_clone3,
    "spawn": lambda: os.posix_spawn("/bin/sleep", ["sleep", "60"], {}),
}


@pytest.fixture
def orphans():
    """The processes below this one, to which the children of those that end are given for a while."""
    libc = ctypes.CDLL(None)
    libc.prctl(36, 1, 0, 0, 0)
    before = set(psutil.Process().children(recursive=True))
    yield lambda: set(psutil.Process().children(recursive=True)) - before
    for left in set(psutil.Process().children(recursive=True)) - before:
        left.kill()
        left.wait()
    libc.prctl(36, 0, 0, 0, 0)


@pytest.mark.parametrize("start", BIRTHS.values(), ids=BIRTHS)
def test_it_starts_no_process_and_nothing_of_it_lives_after_its_end(confined, orphans, start):
    with Confined("is tried out", lambda: lambda *_: ({"said": tried(lasting(start))}, []), Confinement()) as process:
        said = process.ask({}).head["said"]
    assert orphans() == set()
    assert said in {"PermissionError", "OSError"}


def test_nor_by_the_call_that_shares_its_memory(confined):
    assert confined(lambda: tried(call, "vfork")) == "PermissionError"
    assert confined(lambda: tried(call, "clone", 0x4100 | SIGNAL, 0, 0, 0, 0)) == "PermissionError"
    assert confined(lambda: tried(subprocess.run, ["/bin/true"])) == "PermissionError"


WORK = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from consilia_workers.sandbox.keeper import Confined, Confinement


def tried(_):
    try:
        return Path(sys.argv[1]).read_text()
    except PermissionError:
        return "refused"


def work():
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(tried, range(8)))
    torch.set_num_threads(2)
    matrix = torch.ones(600, 600)
    return f"{found} {(matrix @ matrix).sum()} {np.linalg.norm(np.ones((500, 500)) @ np.ones((500, 500)))}"


with Confined("works", lambda: lambda *_: ({"said": work()}, []), Confinement()) as process:
    print(process.ask({}).head["said"])
"""


def test_its_threads_start_compute_and_are_confined_as_it_is(secret):
    """In a keeper of its own: a child of a process whose threads have computed already would wait for them."""
    done = subprocess.run([sys.executable, "-c", WORK, secret], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "{'refused'} 216000000.0 250000.0\n"


OTHER = os.getpid()
TO_OTHERS = {
    "tgkill": lambda: call("tgkill", OTHER, OTHER, 0),
    "tkill": lambda: call("tkill", OTHER, 0),
    "rt_sigqueueinfo": lambda: call("rt_sigqueueinfo", OTHER, 0, b"\0" * 128),
    "rt_tgsigqueueinfo": lambda: call("rt_tgsigqueueinfo", OTHER, OTHER, 0, b"\0" * 128),
    "pidfd_send_signal": lambda: call("pidfd_send_signal", 0, 0, None, 0),
    "prlimit64": lambda: resource.prlimit(OTHER, resource.RLIMIT_NOFILE),
    "prlimit64 on itself by its number": lambda: resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE),
}


@pytest.mark.parametrize("way", TO_OTHERS.values(), ids=TO_OTHERS)
def test_it_signals_and_limits_nobody_else(confined, way):
    assert confined(lambda: tried(way)) == "PermissionError"


def test_it_may_still_signal_and_limit_itself(confined):
    def own():
        signal.signal(signal.SIGUSR1, lambda *_: None)
        call("tgkill", os.getpid(), threading.get_native_id(), signal.SIGUSR1)
        return resource.getrlimit(resource.RLIMIT_CORE)

    assert confined(own) == "(0, 0)"


MARKS = {
    "chmod": lambda path, number: path.chmod(0o640),
    "fchmod": lambda path, number: os.fchmod(number, 0o640),
    "chmod by number": lambda path, number: call("chmod", bytes(path), 0o640),
    "fchmodat": lambda path, number: call("fchmodat", -100, bytes(path), 0o640),
    "fchmodat2": lambda path, number: call("fchmodat2", -100, bytes(path), 0o640, 0),
    "chown": lambda path, number: os.chown(path, -1, -1),
    "chown by number": lambda path, number: call("chown", bytes(path), -1, -1),
    "fchown": lambda path, number: os.fchown(number, -1, -1),
    "lchown": lambda path, number: os.lchown(path, -1, -1),
    "fchownat": lambda path, number: call("fchownat", -100, bytes(path), -1, -1, 0),
    "utimensat": lambda path, number: os.utime(path, (1, 1)),
    "utime": lambda path, number: call("utime", bytes(path), None),
    "utimes": lambda path, number: call("utimes", bytes(path), None),
    "futimesat": lambda path, number: call("futimesat", -100, bytes(path), None),
    "setxattr": lambda path, number: os.setxattr(path, "user.leak", b"x"),
    "lsetxattr": lambda path, number: os.setxattr(path, "user.leak", b"x", follow_symlinks=False),
    "fsetxattr": lambda path, number: os.setxattr(number, "user.leak", b"x"),
    "setxattrat": lambda path, number: call("setxattrat", -100, bytes(path), 0, b"user.leak", None, 0),
    "removexattr": lambda path, number: os.removexattr(path, "user.leak"),
    "lremovexattr": lambda path, number: os.removexattr(path, "user.leak", follow_symlinks=False),
    "fremovexattr": lambda path, number: os.removexattr(number, "user.leak"),
    "removexattrat": lambda path, number: call("removexattrat", -100, bytes(path), 0, b"user.leak"),
}


@pytest.mark.parametrize("mark", MARKS.values(), ids=MARKS)
def test_it_leaves_no_mark_on_a_file_that_it_may_read(confined, tmp_path, mark):
    data = tmp_path / "table.csv"
    data.write_text("1,2")

    def leave():
        with data.open() as opened:
            return mark(data, opened.fileno())

    assert confined(lambda: tried(leave), readable=(data,)) == "PermissionError"
