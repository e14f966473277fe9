"""Alone, federated and pooled: how samples become means, and each benchmark once at a tiny size."""

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from needed import DATA, real_data

from benchmarks.quality import Quality, by_seed, figure, joined, summarise
from consilia_workers.report.comparison import compare
from consilia_workers.report.results import Report, RoundResult, SeedResult

ROOT = Path(__file__).parents[2]


def seed_result(seed, auc_by_hospital, **changes):
    """Alone 0.1 below, pooled 0.1 above."""

    def shifted(by):
        return {name: {"auc": round(auc + by, 6)} for name, auc in auc_by_hospital.items()}

    closed = RoundResult(
        round=1, seconds=0.1, aggregate_seconds=0.0, received_bytes=1, metrics={}, hospitals={}, train_seconds={},
        samples={}, dropped=["late"],
    )  # fmt: skip
    made = SeedResult(
        seed=seed, outcome="Succeeded", reason="RoundsCompleted", start_seconds=1.0, wall_seconds=2.0 + seed,
        rounds=[closed], federated=shifted(0.0), alone=shifted(-0.1), pooled=shifted(0.1),
    )  # fmt: skip
    return made.model_copy(update=changes)


def report(*seeds):
    return Report(
        job="made-up", dataset="none", entrypoint="a:B", strategy="FedAvg", started="2026-01-01T00:00:00+00:00",
        consilia_version="0", hospitals=["a", "b"], metrics=["auc"], parameters=1, model_bytes=4, spec={},
        seeds=list(seeds),
    )  # fmt: skip


def test_means_are_over_hospitals_then_over_samples():
    samples = by_seed(report(seed_result(1, {"a": 0.6, "b": 0.8}), seed_result(2, {"a": 0.7, "b": 0.9})))
    quality = summarise(samples)
    assert quality.metrics["auc"]["federated"] == {"mean": 0.75, "sd": 0.0707}
    assert quality.metrics["auc"]["alone"]["mean"] == pytest.approx(0.65)
    assert quality.metrics["auc"]["pooled"]["mean"] == pytest.approx(0.85)
    assert quality.by_hospital["b"]["federated"]["mean"] == pytest.approx(0.85)
    assert (quality.trainings, quality.samples, quality.dropped_updates, quality.training_seconds) == (2, 2, 2, 3.5)


def test_the_folds_of_a_cut_are_one_sample():
    folds = [report(seed_result(1, {"a": auc, "b": auc})) for auc in (0.6, 0.8)]
    quality = summarise([joined(folds)])
    assert quality.metrics["auc"]["federated"] == {"mean": 0.7, "sd": None}
    assert (quality.trainings, quality.samples) == (2, 1)


def test_a_hospital_without_the_metric_in_one_training_is_in_no_mean():
    samples = by_seed(report(seed_result(1, {"a": 0.6, "b": 0.8}), seed_result(2, {"a": 0.7})))
    quality = summarise(samples)
    assert quality.metrics["auc"]["federated"]["mean"] == pytest.approx(0.65)
    assert list(quality.by_hospital) == ["a"]


def test_hospitals_may_weigh_by_their_patients():
    sample = compare(report(seed_result(1, {"a": 0.6, "b": 0.9})), "auc")
    assert figure([sample], {"a": 1, "b": 3})["federated"]["mean"] == pytest.approx(0.825)


def benchmark(module, *arguments):
    return subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)],
        cwd=ROOT, env={**os.environ, "CONSILIA_DATA": str(DATA)},
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


def printed(module, *arguments):
    done = benchmark(module, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    said = json.loads(line)
    assert said.keys() == {field.name for field in fields(Quality)}
    assert said["dropped_updates"] == 0
    return said


@pytest.mark.slow
def test_heart_failure_needs_no_data_and_trains_in_all_three_ways():
    said = printed("heart_failure", "--rounds", 1)
    assert said["rounds"] == 1
    assert said["metrics"]["auc"].keys() == {"alone", "federated", "pooled"}
    assert said["by_hospital"].keys() == {"childrens", "general", "oncology"}


@pytest.mark.slow
def test_heart_disease_goes_on_in_its_work_folder_and_refuses_another_tests_results(tmp_path):
    real_data("heart_disease")
    options = ("heart_disease", "--rounds", 1, "--work", tmp_path, "--seeds")
    first = printed(*options, 2)
    model = next(tmp_path.rglob("seed-2/model.safetensors"))
    written = model.stat().st_mtime_ns
    assert printed(*options, 2) == first
    assert model.stat().st_mtime_ns == written
    assert "accuracy, all patients" in first["metrics"]
    refused = benchmark(*options, 3)
    assert refused.returncode == 1
    assert "holds the results of other options" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.slow
def test_stroke_trains_every_fold_on_thirteen_countries():
    real_data("ist")
    said = printed("stroke", "--folds", 2, "--repeats", 1, "--rounds", 1)
    assert (said["trainings"], said["samples"], said["hospitals"], len(said["by_hospital"])) == (2, 1, 13, 13)


@pytest.mark.parametrize(
    ("module", "arguments", "words"),
    [
        ("stroke", ("--folds", 1), "1 folds: 2 to 20 are possible"),
        ("stroke", ("--outcome", "happiness"), "invalid choice: 'happiness'"),
        ("heart_disease", ("--seeds", 0), "'0' is no whole number from 1 on"),
    ],
)
def test_impossible_options_are_refused_in_words(module, arguments, words):
    done = benchmark(module, *arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_missing_data_set_is_named_with_the_way_to_get_it(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.stroke"],
        cwd=ROOT, env={**os.environ, "CONSILIA_DATA": str(tmp_path), "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "consilia data get stroke" in done.stderr
    assert "Traceback" not in done.stderr
