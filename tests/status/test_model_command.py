"""`consilia-model`: the newest model, whole and checked, without a word to the log."""

import os
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from status_ports import Federation, federation

from consilia.log import topics
from consilia.log.opening import kafka_url, open_log, sqlite_url
from consilia_workers.local.export import export_model
from consilia_workers.settings import AggregatorSettings

COMMAND = [sys.executable, "-c", "from consilia_workers.model_command import main; main()"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A job of two rounds that is over, its aggregator still there."""
    with federation(tmp_path_factory.mktemp("job"), rounds={"count": 2, "deadlineSeconds": 60}) as f:
        aggregator = f.start("aggregator")
        f.start("a"), f.start("b")
        for _ in f.follow(aggregator.port):
            pass
        yield f


def consilia_model(f: Federation, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    command = [*COMMAND, "--settings", f.folder / "aggregator-settings.json", *arguments]
    return subprocess.run(command, capture_output=True, timeout=60, check=False)


def exported(f: Federation, folder: Path) -> bytes:
    """The final model as a local run exports it."""
    log = open_log(AggregatorSettings.load(f.folder / "aggregator-settings.json").log)
    export_model(log, f.job.log_name, 2, folder / "exported.safetensors")
    log.close()
    return (folder / "exported.safetensors").read_bytes()


def test_it_gives_the_bytes_that_a_run_exports(finished, tmp_path):
    done = consilia_model(finished)
    assert done.returncode == 0, done.stderr
    assert done.stdout == exported(finished, tmp_path)
    assert done.stderr.startswith(b"round 2 of job (the job's last): 472 bytes, sha256:")


def test_it_writes_a_file_whole_or_not_at_all(finished, tmp_path):
    target = tmp_path / "model.safetensors"
    done = consilia_model(finished, "--output", target)
    assert (done.returncode, done.stdout) == (0, b"")
    assert target.read_bytes() == exported(finished, tmp_path)
    elsewhere = consilia_model(finished, "--output", tmp_path / "none" / "model.safetensors")
    assert elsewhere.returncode == 1
    assert b"error: cannot write" in elsewhere.stderr
    assert not list(tmp_path.glob(".*"))


def test_it_disturbs_nobody_and_leaves_no_trace_on_the_log(finished):
    log = open_log(AggregatorSettings.load(finished.folder / "aggregator-settings.json").log)
    before = {topic: log.end_offset(topic) for topic in log.topics()}
    assert consilia_model(finished).returncode == 0
    assert {topic: log.end_offset(topic) for topic in log.topics()} == before
    log.close()


def test_a_terminal_is_spared(finished):
    ours, theirs = os.openpty()
    command = [*COMMAND, "--settings", finished.folder / "aggregator-settings.json"]
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 1
    assert b"Add `> model.safetensors`, or --output FILE." in done.stderr


def test_it_loads_no_framework(finished):
    script = "import sys, consilia_workers.model_command; print(sorted({'torch', 'rich', 'typer'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_a_job_without_a_closed_round_has_no_model(tmp_path):
    with federation(tmp_path) as f:
        aggregator = f.start("aggregator")
        f.until(aggregator.port, lambda told: told.phase == "Waiting")
        done = consilia_model(f, "--output", tmp_path / "model.safetensors")
        assert done.returncode == 1
        assert b"no round of it was closed. Wait for the first round to close." in done.stderr
        assert not (tmp_path / "model.safetensors").exists()


@pytest.fixture
def spoilt(finished, tmp_path):
    """`spoilt(value, version)`: the settings of a copy of the job whose model was replaced behind its back."""

    def make(value: bytes, version: str) -> Path:
        told = AggregatorSettings.load(finished.folder / "aggregator-settings.json")
        shutil.copytree(finished.folder / "log", tmp_path / "log")
        copy = told.model_copy(update={"log": sqlite_url(tmp_path / "log")})
        copy.save(tmp_path / "settings.json")
        log, topic = open_log(copy.log), topics.model(finished.job.log_name)
        with log.producer("somebody").transaction() as transaction:
            transaction.trim(topic, log.end_offset(topic))
            transaction.append(topic, value, key="model/0", headers={"version": version})
        log.close()
        return tmp_path / "settings.json"

    return make


def test_a_model_whose_bytes_were_changed_is_not_passed_on(finished, spoilt, tmp_path):
    *kept, last = exported(finished, tmp_path)
    settings = spoilt(bytes([*kept, last ^ 1]), "2")
    done = consilia_model(finished, "--settings", settings, "--output", tmp_path / "model.safetensors")
    assert done.returncode == 1
    assert b"are not those that the aggregator signed" in done.stderr
    assert not (tmp_path / "model.safetensors").exists()


def test_a_model_that_was_replaced_is_said_to_be(finished, spoilt):
    done = consilia_model(finished, "--settings", spoilt(b"newer", "3"))
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"was replaced while it was read" in done.stderr


@pytest.mark.slow
def test_on_kafka_the_job_goes_on_undisturbed(tmp_path, kafka_settings):
    """The aggregator's producer would be fenced off if the command opened one of its name."""
    kafka_settings.save(tmp_path / "kafka.json")
    task = {"entrypoint": "drifting:Drifting", "parameters": {"seconds": "0.5"}}
    with federation(tmp_path, kafka_url(tmp_path / "kafka.json"), task=task, rounds={"count": 1000}) as f:
        aggregator = f.start("aggregator")
        f.start("a"), f.start("b")
        f.until(aggregator.port, lambda told: told.rounds_completed == 1)
        done = consilia_model(f)
        said = re.search(
            rb"^round (\d+) of job \(the job goes on\): 472 bytes, (sha256:\w+)$", done.stderr, re.MULTILINE
        )
        assert said, done.stderr
        assert said[2].decode() == f"sha256:{sha256(done.stdout).hexdigest()}"
        assert f.until(aggregator.port, lambda told: told.rounds_completed > int(said[1]) + 2)
