"""Aggregator and trainers as a cluster runs them: watched from outside, killed, asked to end."""

import signal
import subprocess

import psutil
import pytest
from prometheus import program
from status_ports import federation, samples

SLOW_ROUNDS = {"entrypoint": "drifting:Drifting", "parameters": {"seconds": "0.5"}}


def test_a_job_is_told_from_its_start_to_after_its_end(tmp_path):
    with federation(tmp_path, rounds={"count": 3, "deadlineSeconds": 60}) as f:
        aggregator = f.start("aggregator")
        waiting = f.until(aggregator.port, lambda told: told.phase == "Waiting")
        assert [each.state for each in waiting.hospitals] == ["Absent", "Absent"]
        trainers = [f.start("a"), f.start("b")]
        *_, last = f.follow(aggregator.port)
        assert (last.phase, last.round, last.rounds_completed) == ("Finished", 3, 3)
        assert last.metrics.keys() == {"loss"}
        assert [trainer.ended() for trainer in trainers] == [0, 0]
        assert aggregator.port.get("/healthz")[0] == 200
        aggregator.says("the job is over")
        assert aggregator.asked_to_end() == 0


@pytest.mark.slow
def test_a_killed_aggregator_comes_back_with_the_same_start_and_goes_on(tmp_path):
    with federation(tmp_path, task=SLOW_ROUNDS, rounds={"count": 4, "deadlineSeconds": 60}) as f:
        first = f.start("aggregator")
        f.start("a"), f.start("b")
        before = f.until(first.port, lambda told: told.rounds_completed == 2)
        first.process.kill()
        first.process.wait()
        second = f.start("aggregator")
        after = f.until(second.port, lambda told: told.rounds_completed >= 2)
        assert before.started is not None
        assert after.started == before.started
        assert after.version > before.version
        *_, last = f.follow(second.port)
        assert (last.phase, last.started) == ("Finished", before.started)
        second.says("the job is over")
        assert second.asked_to_end() == 0
        third = f.start("aggregator")
        assert f.until(third.port, lambda told: told.phase == "Finished").ending == last.ending


def test_a_trainer_tells_where_it_stands_and_ends_with_0_although_the_job_failed(tmp_path):
    hospitals = {"names": ["a", "b"], "minReady": 2, "minUpdates": 2}
    task = {"entrypoint": "drifting:Drifting", "parameters": {"broken": "b"}}
    with federation(tmp_path, task=task, hospitals=hospitals) as f:
        aggregator, a = f.start("aggregator"), f.start("a")
        assert f.trainer(a.port, "a").state in {"Starting", "Waiting"}
        b = f.start("b")
        *_, last = f.follow(aggregator.port)
        assert last.ending is not None
        assert last.ending.outcome == "Failed"
        assert [each.state for each in last.hospitals if each.name == "b"] == ["Left"]
        assert "Erika" not in last.model_dump_json(), "an error's words may quote a record"
        assert (a.ended(), b.ended()) == (0, 1)
        aggregator.says("the job is over")
        assert aggregator.asked_to_end() == 0


@pytest.mark.slow
def test_sigterm_ends_a_trainer_in_the_middle_of_training_and_it_takes_up_the_round_again(tmp_path):
    task = {"entrypoint": "drifting:Drifting", "parameters": {"seconds": "2"}}
    with federation(tmp_path, task=task, rounds={"count": 1, "deadlineSeconds": 60}) as f:
        aggregator, a, b = f.start("aggregator"), f.start("a"), f.start("b")
        version = 0
        while (told := f.trainer(a.port, "a", version)).state != "Training":
            version = told.version
        assert a.asked_to_end() == 128 + signal.SIGTERM
        again = f.start("a")
        *_, last = f.follow(aggregator.port)
        assert (last.ending and last.ending.outcome) == "Succeeded"
        assert [again.ended(), b.ended()] == [0, 0]


def test_a_trainer_that_was_replaced_says_so_by_its_exit_code(tmp_path):
    with federation(tmp_path, rounds={"count": 2, "deadlineSeconds": 60}) as f:
        aggregator, older = f.start("aggregator"), f.start("a")
        older.says("joined job")
        newer = f.start("a")
        newer.says("joined job")
        b = f.start("b")
        *_, last = f.follow(aggregator.port)
        assert (last.ending and last.ending.outcome) == "Succeeded"
        assert [each.ended() for each in (older, newer, b)] == [76, 0, 0]


def test_sigterm_ends_a_waiting_aggregator_at_once(tmp_path):
    with federation(tmp_path) as f:
        aggregator = f.start("aggregator")
        f.until(aggregator.port, lambda told: told.phase == "Waiting")
        assert aggregator.asked_to_end() == 128 + signal.SIGTERM


def test_what_real_programs_measure_passes_prometheus_own_linter(tmp_path):
    with federation(tmp_path, task=SLOW_ROUNDS, rounds={"count": 2, "deadlineSeconds": 60}) as f:
        aggregator, a = f.start("aggregator"), f.start("a")
        f.start("b")
        f.until(aggregator.port, lambda told: told.rounds_completed == 1)
        pages = [port.get("/metrics")[1].decode() for port in (aggregator.port, a.port)]
        names = [{name for name, _ in samples(page)} for page in pages]
        assert {"consilia_round_duration_seconds_count", "process_resident_memory_bytes"} <= names[0]
        assert {"consilia_training_duration_seconds_count", "process_resident_memory_bytes"} <= names[1]
        assert not any(name.endswith("_created") for name in names[0] | names[1])
        shared = {name for name in names[0] & names[1] if name.startswith("consilia_")}
        assert shared == {"consilia_build_info"}, "one metric, one program"
        for page in pages:
            checked = subprocess.run(
                [program("promtool"), "check", "metrics"], input=page.encode(), capture_output=True, check=False
            )
            assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_without_a_status_port_nothing_listens(tmp_path):
    with federation(tmp_path) as f:
        f.settings("aggregator", work=str(tmp_path / "work"), status_port=None)
        aggregator = f.start("aggregator")
        f.settings("a", hospital="a", state=str(tmp_path / "a"), status_port=None)
        a, b = f.start("a"), f.start("b")
        b.port.get("/healthz")
        assert not psutil.Process(aggregator.process.pid).net_connections()
        assert not psutil.Process(a.process.pid).net_connections()
        assert [each.ended() for each in (aggregator, a, b)] == [0, 0, 0]


@pytest.mark.parametrize("party", ["aggregator", "a"])
def test_a_taken_port_ends_the_program_with_words(tmp_path, party):
    with federation(tmp_path) as f:
        port = f.start("aggregator").port
        own = {"work": str(tmp_path)} if party == "aggregator" else {"hospital": "a", "state": str(tmp_path / "a")}
        f.settings(party, status_port=port.number, **own)
        second = f.start(party)
        assert second.ended() == 1
        assert f"error: cannot serve the status on port {port.number}" in second.text()
