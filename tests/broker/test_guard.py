"""Whoever starts a broker may end in any way: the broker ends too."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ended import ends_within

from consilia.broker import guarded
from consilia.broker.guarded import Guarded

SLEEPER = [sys.executable, "-c", "import time; print('awake', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('awake', flush=True); time.sleep(600)",
]
STARTER = """
import sys, time
from pathlib import Path
from consilia.broker.guarded import Guarded
process = Guarded([sys.executable, "-c", "import time; time.sleep(600)"], Path("log"), Path.cwd())
print(process.pid, flush=True)
{then}
"""


def wait_for_line(log):
    """Until the process has printed something, so that it has set up what it will."""
    deadline = time.monotonic() + 20
    while not log.exists() or not log.read_text().endswith("\n"):
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def start(tmp_path):
    """Takes a command: a guarded process; the fixture ends it in any case."""
    started = []

    def start(command):
        started.append(Guarded(command, tmp_path / "log", tmp_path))
        wait_for_line(tmp_path / "log")
        return started[-1]

    yield start
    for each in started:
        each.kill()
        assert each.wait(10)


def test_it_ends_when_let_go(start):
    process = start(SLEEPER)
    assert process.running()
    process.ask_to_end()
    assert process.wait(10)
    assert not process.running()
    assert ends_within(process.pid, 0)


def test_it_is_killed_if_it_does_not_want_to_end(start, monkeypatch):
    monkeypatch.setattr(guarded, "GRACE_SECONDS", 0.1)
    process = start(STUBBORN)
    process.ask_to_end()
    assert process.wait(10)


def test_one_that_was_asked_to_end_can_still_be_killed(start):
    process = start(STUBBORN)
    process.ask_to_end()
    process.kill()
    assert process.wait(10)
    assert ends_within(process.pid, 10)


def test_a_kill_takes_the_process_and_its_guard(start):
    process = start(STUBBORN)
    process.kill()
    assert process.wait(10)
    assert ends_within(process.pid, 0)


def test_waiting_for_one_that_runs_gives_up_in_time(start):
    assert not start(SLEEPER).wait(0.05)


def test_a_guard_that_is_killed_takes_the_process_along(start):
    process = start(STUBBORN)
    os.kill(int(Path(f"/proc/{process.pid}/stat").read_text().split()[3]), signal.SIGKILL)
    assert process.wait(10)
    assert ends_within(process.pid, 10)


@pytest.mark.parametrize("command", [["/nowhere/java"], [sys.executable, "-c", "print('no'); raise SystemExit(3)"]])
def test_what_cannot_run_is_over_and_its_words_are_kept(tmp_path, command):
    process = Guarded(command, tmp_path / "log", tmp_path)
    assert process.wait(10)
    assert not process.running()
    assert (tmp_path / "log").read_text().strip()


def test_ctrl_c_does_not_reach_it_by_itself(start):
    """The terminal signals a whole process group; the broker must be free to end in order."""
    assert os.getpgid(start(SLEEPER).pid) != os.getpgid(0)


ENDS = {
    "it returns": ("", None),
    "it raises": ("raise RuntimeError", None),
    "it exits at once": ("import os; os._exit(0)", None),
    "it dies in its sleep": ("time.sleep(600)", signal.SIGKILL),
    "it is asked to end": ("time.sleep(600)", signal.SIGTERM),
    "Ctrl-C": ("time.sleep(600)", signal.SIGINT),
}


@pytest.mark.parametrize(("then", "sent"), ENDS.values(), ids=ENDS)
def test_it_ends_with_its_starter_however_that_ends(tmp_path, then, sent):
    command = [sys.executable, "-c", STARTER.format(then=then)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as starter:
        pid = int(starter.stdout.readline())
        if sent:
            starter.send_signal(sent)
    assert ends_within(pid, 10)
