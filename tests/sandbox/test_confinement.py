"""A confined process sees what it is given and reaches nobody."""

import contextlib
import os
import socket
import struct
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from confining import tried

from consilia.errors import DataError, DivergedError, TaskError
from consilia_workers.sandbox.frames import BrokenFrameError, describe_array, read_arrays
from consilia_workers.sandbox.keeper import Confined, Confinement

pytestmark = pytest.mark.usefixtures("landlock")


def test_it_reads_what_it_is_given_and_nothing_else(confined, tmp_path, secret):
    data = tmp_path / "data"
    data.mkdir()
    (data / "table.csv").write_text("1,2")

    assert confined(lambda: tried((data / "table.csv").read_text), readable=(data,)) == "did: 1,2"
    assert confined(lambda: tried(secret.read_text), readable=(data,)) == "PermissionError"
    assert confined(lambda: tried(os.listdir, tmp_path), readable=(data,)) == "PermissionError"
    assert confined(lambda: tried(Path("/proc/self/environ").read_bytes)) == "PermissionError"


@pytest.mark.parametrize("where", ["the data", "the folder above", "/tmp", "/dev/shm"])
def test_it_writes_to_its_scratch_folder_only(confined, tmp_path, where):
    data = tmp_path / "data"
    data.mkdir()
    folder = {"the data": data, "the folder above": tmp_path}.get(where, Path(where))

    assert confined(lambda: tried((folder / "leak").write_text, "x"), readable=(data,)) == "PermissionError"
    assert confined(lambda: tried((Path(os.environ["TMPDIR"]) / "own").write_text, "x")) == "did: 1"


def test_what_it_wrote_is_gone_with_it(tmp_path):
    with Confined("writes", lambda: lambda *_: ({"where": os.environ["TMPDIR"]}, []), Confinement()) as process:
        scratch = Path(process.ask({}).head["where"])
        assert scratch.is_dir()
    assert not scratch.exists()


def connect():
    socket.create_connection(("127.0.0.1", 9), timeout=1)


@pytest.mark.parametrize(
    "way",
    [
        connect,
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        lambda: socket.socket(socket.AF_UNIX),
        socket.socketpair,
        lambda: os.kill(os.getppid(), 0),
        lambda: os.execv("/bin/true", ["true"]),
        lambda: os.pidfd_open(os.getppid()),
        lambda: os.memfd_create("leak"),
        lambda: os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY),
        lambda: os.setxattr(os.environ["TMPDIR"], "user.leak", b"x"),
    ],
    ids=["tcp", "udp", "unix", "pair", "signal", "exec", "pidfd", "memfd", "memory", "xattr"],
)
def test_it_has_no_way_to_anybody(confined, way):
    assert confined(lambda: tried(way)) in {"PermissionError", "ProcessLookupError"}


def test_files_that_its_keeper_has_open_are_closed_to_it(confined, secret):
    with secret.open() as opened:
        number = opened.fileno()
        assert confined(lambda: tried(os.pread, number, 9, 0)) == "OSError"


def test_of_a_folder_of_code_that_holds_a_secret_the_rest_is_readable(confined, secret, monkeypatch):
    folder = secret.parent
    monkeypatch.syspath_prepend(str(folder))
    (folder / "runs").mkdir()
    (folder / "runs" / "ledger").write_text("secret")
    (folder / "to_the_runs").symlink_to(folder / "runs")
    (folder / "to_the_key.py").symlink_to(secret)
    (folder / "beside_the_key.py").write_text("from parts_of_it import part\n")
    (folder / "parts_of_it").mkdir()
    (folder / "parts_of_it" / "part.py").write_text("value = 3\n")
    hidden = (secret, folder / "runs" / "ledger", folder / "runs")

    assert confined(lambda: tried(secret.read_text)) == "did: secret"
    for path in (secret, folder / "runs" / "ledger", folder / "to_the_runs" / "ledger", folder / "to_the_key.py"):
        assert confined(lambda path=path: tried(path.read_text), hidden=hidden) == "PermissionError"
    assert confined(lambda: __import__("beside_the_key").part.value, hidden=hidden) == "3"
    assert confined(lambda: tried(os.listdir, folder), hidden=hidden) == "PermissionError"
    assert confined(lambda: tried(os.listdir, folder / "runs"), hidden=hidden) == "PermissionError"


def test_an_error_comes_back_as_it_was(tmp_path):
    def fail():
        raise DataError("the table is missing.", remedy="Put it there.")

    with Confined("reads", lambda: lambda *_: fail(), Confinement()) as process, pytest.raises(DataError) as raised:
        process.ask({})
    assert (raised.value.message, raised.value.remedy) == ("the table is missing.", "Put it there.")


def test_near_data_an_error_says_nothing_and_its_words_stay_in_the_hospital(tmp_path):
    output = tmp_path / "output.log"

    def fail():
        print("Mrs Smith")
        raise type("MrsSmithHasIt", (Exception,), {})("Mrs Smith")

    confinement = Confinement(discreet=True, output=output)
    with (
        Confined("reads the data", lambda: lambda *_: fail(), confinement) as process,
        pytest.raises(TaskError) as raised,
    ):
        process.ask({})
    assert "Smith" not in str(raised.value)
    assert str(output) in str(raised.value)
    assert output.read_text().count("Mrs Smith") > 1
    assert output.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("kind", [TaskError, DataError, DivergedError, KeyError, MemoryError, SystemExit])
def test_near_data_not_even_the_kind_of_an_error_is_told(tmp_path, kind):
    """Others are told the kind of what stopped a hospital: which of several, would tell of the records."""

    def fail():
        raise kind("Mrs Smith")

    confinement = Confinement(discreet=True, output=tmp_path / "output.log")
    with (
        Confined("reads the data", lambda: lambda *_: fail(), confinement) as process,
        pytest.raises(TaskError, match=r"^the process that reads the data failed\. Read ") as raised,
    ):
        process.ask({})
    assert type(raised.value) is TaskError


@pytest.mark.parametrize("said", [b"Mrs Smith", struct.pack("<QQ", 9, 0) + b"Mrs Smith", b""])
def test_near_data_a_process_that_ends_says_nothing_by_how_it_does(tmp_path, said):
    def say_and_end():
        for number in range(3, 64):
            with contextlib.suppress(OSError):
                os.write(number, said)
        os._exit(0)

    confinement = Confinement(discreet=True, output=tmp_path / "output.log")
    with (
        Confined("reads the data", lambda: lambda *_: say_and_end(), confinement) as process,
        pytest.raises(TaskError) as raised,
    ):
        process.ask({})
    assert raised.value.message == "the process that reads the data ended in the middle of its work."
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("end", [lambda: os._exit(3), os.abort, sys.exit])
def test_a_process_that_ends_is_an_error_that_says_so(end):
    with Confined("is tried out", lambda: lambda *_: end(), Confinement()) as process, pytest.raises(TaskError):
        process.ask({})


def test_it_lives_no_longer_than_its_keeper():
    reading, writing = os.pipe()
    keeper = os.fork()
    if keeper == 0:
        process = Confined("waits", lambda: lambda *_: ({"pid": os.getpid()}, []), Confinement())
        os.write(writing, str(process.ask({}).head["pid"]).encode())
        os._exit(0)
    os.waitpid(keeper, 0)
    confined = psutil.Process(int(os.read(reading, 20)))
    with contextlib.suppress(psutil.TimeoutExpired, psutil.NoSuchProcess):
        confined.wait(10)
    assert not confined.is_running() or confined.status() == psutil.STATUS_ZOMBIE


def test_arrays_come_back_as_they_were():
    arrays = [np.arange(6, dtype="<f4").reshape(2, 3), np.array([], dtype="<i8"), np.array([True, False])]
    told = [describe_array(array) for array in arrays]
    found = read_arrays(told, b"".join(array.tobytes() for array in arrays))

    assert all((one == other).all() and one.dtype == other.dtype for one, other in zip(arrays, found, strict=True))


@pytest.mark.parametrize(
    ("told", "body"),
    [
        ("no list", b""),
        ([{"dtype": "O", "shape": [1]}], bytes(8)),
        ([{"dtype": "<f4", "shape": [2]}], bytes(4)),
        ([{"dtype": "<f4", "shape": [1]}], bytes(8)),
        ([{"dtype": "<f4", "shape": [-1]}], bytes(4)),
        ([{"dtype": "<f4", "shape": [2**39, 2**39]}], bytes(4)),
        ([{"dtype": "<f4"}], bytes(4)),
    ],
)
def test_arrays_that_are_none_are_refused(told, body):
    with pytest.raises(BrokenFrameError):
        read_arrays(told, body)
