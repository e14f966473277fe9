"""The processes of a run: what is started again, what is not, and who speaks for the dead."""

import os
import signal
from pathlib import Path
from time import monotonic

import psutil
import pytest
from worlds import make_job

from consilia.broker.ports import free_ports
from consilia_workers.local.folder import AGGREGATOR, SeedFolder
from consilia_workers.local.processes import Ended, Processes, Program
from consilia_workers.local.site import Site
from consilia_workers.settings import AggregatorSettings

SECONDS = 30


@pytest.fixture
def processes(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "support")
    with Processes("drifting", tmp_path / "nursery.log") as processes:
        yield processes


def waiting(folder: Path) -> Program:
    """An aggregator that nobody will ever join."""
    seed = SeedFolder(folder)
    job = make_job(["a"], task={"entrypoint": "drifting:Drifting"})
    seed.prepare(job, [Site(hospital="a", path=None, parameters={})])
    return Program(
        name="waiting", program="aggregator", settings=seed.settings(AGGREGATOR), output=seed.output(AGGREGATOR)
    )


def pid_of(processes: Processes, name: str, *, other_than: int = 0) -> int:
    deadline = monotonic() + SECONDS
    while processes.pids().get(name, other_than) == other_than:
        assert monotonic() < deadline
        assert list(processes.poll(0.1)) == []
    return processes.pids()[name]


def test_who_is_killed_is_started_again_and_named(processes, tmp_path):
    processes.start(waiting(tmp_path))
    pid = pid_of(processes, "waiting")
    os.kill(pid, signal.SIGKILL)
    pid_of(processes, "waiting", other_than=pid)
    assert [(revival.name, revival.how) for revival in processes.revivals()] == [("waiting", "killed by signal 9")]
    assert processes.revivals() == []


def test_who_finds_no_log_is_started_again_with_longer_and_longer_pauses(processes, tmp_path):
    program, again, started = waiting(tmp_path), [], monotonic()
    settings = AggregatorSettings.load(program.settings)
    settings.model_copy(update={"log": f"kafka://127.0.0.1:{free_ports(1)[0]}"}).save(program.settings)
    processes.start(program)
    while len(again) < 4:
        assert list(processes.poll(0.05)) == []
        again += processes.revivals()
        assert monotonic() < started + SECONDS
    assert monotonic() - started >= 0.1 + 0.2 + 0.4
    assert {(each.name, each.how) for each in again} == {("waiting", "ended with code 75")}


def test_who_ran_before_under_the_same_name_is_ended_and_not_mistaken_for_who_runs_now(processes, tmp_path):
    program = waiting(tmp_path)
    processes.start(program)
    old = psutil.Process(pid_of(processes, "waiting"))
    processes.end()
    processes.start(program)
    pid_of(processes, "waiting", other_than=old.pid)
    assert psutil.wait_procs([old], timeout=SECONDS)[1] == []
    assert list(processes.poll(1)) == []
    assert processes.names() == {"waiting"}


def test_what_runs_once_is_not_started_again(processes, tmp_path):
    program = waiting(tmp_path)
    once = Program(name="once", program=program.program, settings=program.settings, output=program.output, again=False)
    processes.start(once)
    os.kill(pid_of(processes, "once"), signal.SIGKILL)
    ended: list[Ended] = []
    deadline = monotonic() + SECONDS
    while not ended and monotonic() < deadline:
        ended += processes.poll(0.1)
    assert ended == [Ended(name="once", code=-signal.SIGKILL)]
