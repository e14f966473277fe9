"""`python -m benchmarks.stream`: what it measures, and that it would notice a lost record."""

import json
import subprocess
import sys
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import pytest

from benchmarks.stream import NUMBER, Measurement, Stream, consume, produce
from consilia.errors import RunError
from consilia.log.opening import open_log, sqlite_url

ROOT = Path(__file__).parents[2]


def stream(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.stream", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture
def wanted(tmp_path):
    return Stream(url=sqlite_url(tmp_path / "log"), topic="windows", records=5, transaction=2)


def write(wanted, numbers):
    with closing(open_log(wanted.url)) as log, log.producer("test").transaction() as transaction:
        for number in numbers:
            transaction.append(wanted.topic, NUMBER.pack(number))


def test_what_is_written_is_read(wanted):
    began, ended = produce(wanted), consume(wanted)
    assert ended.time > began.time
    assert ended.delays


@pytest.mark.parametrize("numbers", [(0, 1, 3), (0, 1, 1), (1,)])
def test_a_record_lost_or_double_is_noticed(wanted, numbers):
    write(wanted, numbers)
    with pytest.raises(RunError, match=r"record \d of windows was to come"):
        consume(wanted)


def test_a_stream_that_falls_silent_is_noticed(wanted, monkeypatch):
    monkeypatch.setattr("benchmarks.stream.SILENCE_SECONDS", 0)
    write(wanted, range(3))
    with pytest.raises(RunError, match="fell silent after 3 of 5"):
        consume(wanted)


def test_both_logs_are_measured_by_the_same_names(kafka_broker):
    options = ("--log", "kafka", "sqlite", "--kafka", kafka_broker.bootstrap, "--records", 500, "--transaction", 200)
    done = stream(*options, "--repeats", 1, "--json")
    said = json.loads(done.stdout)
    assert [each["log"] for each in said["ours"]] == ["kafka", "sqlite"]
    for each in said["ours"]:
        assert each.keys() == {field.name for field in fields(Measurement)}
        assert each["records_per_second"] > 0
        assert each["producer_cpu_us_per_record"] > 0


def test_a_cluster_that_is_away_is_an_error_in_words():
    done = stream("--log", "kafka", "--kafka", "127.0.0.1:1")
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
