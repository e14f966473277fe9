"""What any log must do is tested on every implementation; what only SQLite does, in `test_sqlite_*.py`."""

import subprocess
import sys
import time
import uuid
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from consilia.log.opening import kafka_url, open_log, sqlite_url

ACTOR = Path(__file__).with_name("actor.py")


@pytest.fixture(params=["sqlite", "kafka"])
def log_url(request, tmp_path):
    """Every implementation in turn. Tests use fresh names only, so it need not be an empty log."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "log")
    request.getfixturevalue("kafka_settings").save(tmp_path / "kafka.json")
    return kafka_url(tmp_path / "kafka.json")


@pytest.fixture
def log_factory(log_url):
    """Opens one more connection to the same log; all are closed at the end."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(open_log(log_url)))


@pytest.fixture
def log(log_factory):
    return log_factory()


@pytest.fixture
def fresh():
    """Makes names that nobody used before."""
    return lambda word: f"{word}-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def topic(fresh):
    return fresh("topic")


@pytest.fixture
def producer(log, fresh):
    return log.producer(fresh("producer"))


@pytest.fixture
def act(log_url):
    """Starts `actor.py` on the same log in a process of its own; it is killed at the end if it still runs."""
    with ExitStack() as stack:

        def start(action, *arguments):
            command = [sys.executable, str(ACTOR), action, log_url, *map(str, arguments)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


@pytest.fixture
def soon():
    """Runs a check until it passes: another connection may see a commit a little later than the one that made it."""

    def check_until_it_passes(check, seconds=10):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(AssertionError):
                return check()
            time.sleep(0.01)
        return check()

    return check_until_it_passes
