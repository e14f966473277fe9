"""`consilia run` as a person or a script uses it: to the end, interrupted, resumed, and given rubbish."""

import json
import os
import signal
from pathlib import Path

import psutil
from command_line import consilia, job_file, model, run_args, run_folder, start, wait_for
from safetensors.numpy import load_file


def test_a_run_prints_its_rounds_and_leaves_report_and_model(tmp_path):
    done = consilia(tmp_path, *run_args(job_file(tmp_path)))
    assert done.returncode == 0, done.stderr
    assert "round 1: 2 hospitals" in done.stdout
    folder = run_folder(tmp_path)
    assert f"report: {Path('consilia-runs') / 'drift' / folder.name / 'report.html'}" in done.stdout
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    assert load_file(folder / "seed-0" / "model.safetensors")["weights"].shape == (100,)


def test_with_json_every_line_is_an_event(tmp_path):
    done = consilia(tmp_path, *run_args(job_file(tmp_path), "--json"))
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["event"] for event in events]
    opened_and_closed = ["RoundOpened", "RoundClosed"] * 3
    assert kinds == ["Training", *opened_and_closed, "EvaluationOpened", "JobFinished", "Report"]
    report = json.loads((tmp_path / events[-1]["report"]).read_text())
    assert [r["round"] for r in report["seeds"][0]["rounds"]] == [1, 2, 3]


def test_several_seeds_are_several_trainings(tmp_path):
    done = consilia(tmp_path, *run_args(job_file(tmp_path, rounds=1), "--seeds", "2", "--json"))
    report = json.loads((run_folder(tmp_path) / "report.json").read_text())
    assert [seed["seed"] for seed in report["seeds"]] == [0, 1], done.stderr


def test_after_ctrl_c_nothing_is_left_running_and_resume_comes_to_the_same_model(tmp_path):
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    assert consilia(undisturbed, *run_args(job_file(undisturbed, rounds=12))).returncode == 0
    file = job_file(tmp_path, rounds=12, seconds=0.2)
    process = start(tmp_path, *run_args(file))
    list(wait_for(process, "round 3:"))
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 130
    assert "go on with: consilia run" in output
    assert psutil.wait_procs(children, timeout=10)[1] == []
    resumed = consilia(tmp_path, *run_args(file, "--resume"))
    assert resumed.returncode == 0, resumed.stderr
    assert "round 1:" in resumed.stdout
    assert model(tmp_path) == model(undisturbed)


def test_when_the_runner_is_killed_its_processes_end_and_resume_works(tmp_path):
    file = job_file(tmp_path, rounds=8, seconds=0.2)
    process = start(tmp_path, *run_args(file))
    list(wait_for(process, "round 2:"))
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate(timeout=30)
    assert len(children) == 4
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert consilia(tmp_path, *run_args(file, "--resume")).returncode == 0


def test_two_runners_do_not_share_a_folder(tmp_path):
    file = job_file(tmp_path, rounds=100, seconds=0.2)
    process = start(tmp_path, *run_args(file))
    list(wait_for(process, "round 1:"))
    second = consilia(tmp_path, *run_args(file, "--resume"))
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    assert second.returncode == 1
    assert "another process is running in" in second.stderr


def test_resume_wants_the_same_job(tmp_path):
    process = start(tmp_path, *run_args(job_file(tmp_path, rounds=50, seconds=0.2)))
    list(wait_for(process, "round 1:"))
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    refused = consilia(tmp_path, *run_args(job_file(tmp_path, rounds=60), "--resume"))
    assert refused.returncode == 1
    assert "was begun with another job file or other options" in refused.stderr


def test_with_nothing_to_resume_it_says_so(tmp_path):
    refused = consilia(tmp_path, *run_args(job_file(tmp_path), "--resume"))
    assert refused.returncode == 1
    assert "nothing to resume" in refused.stderr


def test_a_hospital_without_data_leaves_and_the_others_go_on(tmp_path):
    done = consilia(tmp_path, *run_args(job_file(tmp_path, without_data="bb")))
    assert done.returncode == 0, done.stderr
    assert "round 3: 1 hospitals" in done.stdout
    assert "bb left: error: bb has no data. Mount it." in done.stdout


def test_a_bug_at_one_hospital_does_not_stop_the_others_and_its_words_stay_at_home(tmp_path):
    done = consilia(tmp_path, *run_args(job_file(tmp_path, broken="a"), "--json"))
    assert done.returncode == 0, done.stderr
    folder = run_folder(tmp_path) / "seed-0"
    assert "Mustermann" in (folder / "hospitals" / "a" / "output.log").read_text()
    assert not any(b"Mustermann" in path.read_bytes() for path in (folder / "log").rglob("*") if path.is_file())
    assert "Mustermann" not in (folder / "aggregator" / "output.log").read_text()


def test_when_all_hospitals_fail_the_job_fails_and_says_why(tmp_path):
    done = consilia(tmp_path, *run_args(job_file(tmp_path, names=("a",), without_data="a")))
    assert done.returncode == 1
    assert "a left (DataUnavailable)" in done.stdout
    assert json.loads((run_folder(tmp_path) / "report.json").read_text())["seeds"][0]["outcome"] == "Failed"


def test_a_job_file_with_mistakes_is_refused_with_all_of_them(tmp_path):
    file = job_file(tmp_path)
    text = file.read_text().replace("count: 3", "count: 0").replace("minReady", "minRedy")
    file.write_text(text)
    refused = consilia(tmp_path, *run_args(file))
    assert refused.returncode == 2
    assert "spec.rounds.count" in refused.stderr
    assert "minRedy" in refused.stderr
    assert not (tmp_path / "consilia-runs").exists()


def test_a_task_that_cannot_be_imported_is_explained(tmp_path):
    file = job_file(tmp_path)
    file.write_text(file.read_text().replace("drifting:Drifting", "missing_module:Task"))
    refused = consilia(tmp_path, *run_args(file))
    assert refused.returncode == 1
    assert "no module named missing_module" in refused.stderr


def test_a_module_that_prints_and_reads_at_import_does_not_disturb_the_run(tmp_path):
    file = job_file(tmp_path, rounds=1)
    file.write_text(file.read_text().replace("drifting:Drifting", "chatty:Drifting"))
    done = consilia(tmp_path, *run_args(file))
    assert done.returncode == 0, done.stderr
    assert "loading" in (run_folder(tmp_path) / "nursery.log").read_text()


def test_a_module_with_a_bug_is_explained(tmp_path):
    file = job_file(tmp_path)
    file.write_text(file.read_text().replace("drifting:Drifting", "broken_at_import:Task"))
    refused = consilia(tmp_path, *run_args(file))
    assert refused.returncode == 1
    assert "importing the task broken_at_import:Task failed: KeyError: 'b'" in refused.stderr


def test_nobody_waits_for_ever_for_a_process_that_died_without_a_word(tmp_path):
    file = job_file(tmp_path, dies="bb")
    file.write_text(file.read_text().replace("minReady: 1", "minReady: 2"))
    done = consilia(tmp_path, *run_args(file))
    assert done.returncode == 1
    assert "2 hospitals are needed to start, and the roster has 2. bb left (TaskFailed)." in done.stdout
    assert "bb left: ended with code 3" in done.stdout


def test_a_hospital_without_data_has_no_part_in_the_comparison_either(tmp_path):
    file = job_file(tmp_path, names=("a", "bb", "ccc"), without_data="bb")
    done = consilia(tmp_path, "run", file, "--data", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (seed,) = json.loads((run_folder(tmp_path) / "report.json").read_text())["seeds"]
    assert set(seed["alone"]) == set(seed["federated"]) == {"a", "ccc"}


def test_when_the_comparison_fails_the_trained_model_is_kept_all_the_same(tmp_path):
    done = consilia(tmp_path, "run", job_file(tmp_path, only_together=True), "--data", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not measured alone and pooled: " in done.stdout
    assert model(tmp_path)
    assert (run_folder(tmp_path) / "report.html").exists()
