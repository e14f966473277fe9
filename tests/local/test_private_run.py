"""A private job by `consilia run`: what it spends lasts, and what it measures stays."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from needed import DATA

from consilia.ledger.reading import read_ledger

pytestmark = pytest.mark.slow
SUPPORT = Path(__file__).parents[1] / "support"
VISITS = {
    "task": {"entrypoint": "made_up:Visits"},
    "dataset": "visits",
    "hospitals": {"names": ["north", "south"], "minReady": 2, "minUpdates": 2},
}

JOB = {
    "apiVersion": "consilia.dev/v1alpha1",
    "kind": "FederatedJob",
    "metadata": {"name": "private"},
    "spec": {
        "task": {"entrypoint": "consilia_workers.tasks.breast_cancer:BreastCancer"},
        "dataset": "breast-cancer",
        "hospitals": {"names": ["hilltop", "lakeview", "riverside"], "minReady": 3, "minUpdates": 2},
        "rounds": {"count": 5, "deadlineSeconds": 60},
        "training": {"localSteps": 2, "optimizer": {"name": "SGD", "learningRate": "1"}},
        "privacy": {"epsilon": "2", "sampleRate": "1"},
        "evaluation": {"everyRounds": 1, "metrics": ["auc", "loss"]},
    },
}


def dataset(hospital, **spec):
    return {
        "apiVersion": "consilia.dev/v1alpha1",
        "kind": "Dataset",
        "metadata": {"name": "breast-cancer", "namespace": hospital},
        "spec": {"source": {"builtin": {}}, **spec},
    }


class Runs:
    """One folder, several runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *more: dict, **spec: dict):
        wanted = {name: value for name, value in (JOB["spec"] | spec).items() if value is not None}
        documents = [JOB | {"spec": wanted}, *more]
        (self.folder / "job.yaml").write_text("\n---\n".join(json.dumps(each) for each in documents))
        command = [Path(sys.executable).with_name("consilia"), "run", "job.yaml", "--out", "runs"]
        environment = {**os.environ, "CONSILIA_DATA": str(DATA), "PYTHONPATH": str(SUPPORT)}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    def report(self):
        newest = max((self.folder / "runs" / "private").iterdir())
        return json.loads((newest / "report.json").read_text())["seeds"][0]

    def ledger(self, hospital):
        return read_ledger(self.folder / "runs" / "ledgers" / hospital, now=datetime.now(UTC))

    def account(self, hospital):
        return self.ledger(hospital).account("breast-cancer")

    def said(self):
        newest = max((self.folder / "runs" / "private").iterdir())
        return b"".join(path.read_bytes() for path in (newest / "seed-0" / "log").rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    runs = Runs(tmp_path_factory.mktemp("runs"))
    done = runs.run()
    assert done.returncode == 0, done.stdout + done.stderr
    return runs


def test_a_private_job_learns_and_stays_within_its_epsilon(first):
    told = first.report()

    assert told["outcome"] == "Succeeded"
    assert {hospital: metrics["auc"] > 0.9 for hospital, metrics in told["federated"].items()} == dict.fromkeys(
        ["hilltop", "lakeview", "riverside"], True
    )
    spent = told["rounds"][-1]["epsilon"]
    assert all(1.8 < epsilon <= 2 for epsilon in spent.values())
    assert told["spent"] == pytest.approx(spent, abs=1e-5)  # by the ledger
    assert told["alone"] is None  # which would have been trained without privacy


def test_what_the_hub_hears_is_rounded_and_holds_no_metric(first):
    rounds = first.report()["rounds"]

    assert all(set(closed["train_seconds"].values()) == {0.0} for closed in rounds)
    assert set(rounds[0]["samples"].values()) <= {80, 100, 120, 150, 200}
    assert b'"metrics":{"auc"' not in first.said()
    assert b'"samples":' in first.said()
    assert rounds[1]["metrics"]["auc"] > 0.5  # which the runner has read in the hospitals' own folders


def test_every_round_is_in_each_hospitals_ledger_with_its_output(first):
    reading = first.ledger("lakeview")
    reserved = [each for each in reading.entries if each.type == "Reserved"]
    committed = [each for each in reading.entries if each.type == "Committed"]

    assert [each.round for each in reserved] == [1, 2, 3, 4, 5]
    assert [each.reservation for each in committed] == [each.number for each in reserved]
    assert reading.entries[-1].type == "Returned"


def test_the_next_job_finds_what_the_first_has_spent(first):
    before = first.account("hilltop").spent.max()
    budgeted = dataset("hilltop", publicSize=100, privacyBudget={"epsilon": "2.5", "delta": "1e-5"})
    done = first.run(budgeted, hospitals=JOB["spec"]["hospitals"] | {"minReady": 2})

    assert first.account("hilltop").spent.max() == before
    assert done.returncode == 0
    assert "hilltop left" in done.stdout
    assert "of the job's 5 rounds" in done.stdout
    assert first.report()["rounds"][-1]["epsilon"].keys() == {"lakeview", "riverside"}


def test_a_job_without_privacy_does_not_touch_data_that_has_a_budget(tmp_path):
    budgeted = dataset("hilltop", publicSize=100, privacyBudget={"epsilon": "3", "delta": "1e-5"})
    done = Runs(tmp_path).run(budgeted, privacy=None)

    assert "privacy budget, but the job has no privacy" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "privacy",
    [
        {"noiseMultiplier": "1", "mechanism": "Gaussian", "accountant": "PRV"},
        {"epsilon": "4", "sampleRate": "1", "evaluation": "Charged"},
    ],
    ids=["gaussian", "charged"],
)
def test_every_kind_of_privacy_runs(tmp_path, privacy):
    runs = Runs(tmp_path)
    done = runs.run(privacy=privacy)

    assert done.returncode == 0, done.stdout + done.stderr
    assert runs.report()["outcome"] == "Succeeded"
    if privacy.get("evaluation") == "Charged":
        charged = [each.purpose for each in runs.ledger("hilltop").entries if each.type == "Reserved"]
        assert charged.count("Evaluation") == 6
        assert "auc" in runs.report()["rounds"][0]["metrics"]
    if privacy.get("accountant") == "PRV":
        told = runs.report()
        assert all(0 < told["tighter"][hospital] < told["spent"][hospital] for hospital in told["spent"])


def visits(hospital, **spec):
    return dataset(hospital, **spec) | {"metadata": {"name": "visits", "namespace": hospital}}


def test_patients_are_hidden_with_all_of_their_records_and_batch_norm_is_taken_out_where_that_is_asked(tmp_path):
    runs = Runs(tmp_path)
    privacy = {"epsilon": "4", "sampleRate": "0.5", "unit": "Patient", "replaceBatchNorm": True}
    done = runs.run(visits("north", unit="Patient"), visits("south", unit="Patient"), **VISITS, privacy=privacy)

    assert done.returncode == 0, done.stdout + done.stderr
    assert runs.ledger("north").account("visits").unit == "Patient"
    assert set(runs.report()["rounds"][0]["samples"].values()) == {20}  # patients; the records are 39


@pytest.mark.parametrize(
    ("privacy", "unit", "words"),
    [
        ({"epsilon": "4", "unit": "Patient"}, "Patient", "mixes the records of a batch"),
        ({"epsilon": "4", "replaceBatchNorm": True}, "Patient", "the job hides each Record"),
    ],
    ids=["batch norm", "another unit"],
)
def test_what_cannot_be_private_as_it_is_ends_with_the_way_out(tmp_path, privacy, unit, words):
    runs = Runs(tmp_path)
    done = runs.run(visits("north", unit=unit), visits("south", unit=unit), **VISITS, privacy=privacy)

    assert done.returncode == 1
    assert words in done.stdout.replace("\n", " ")


def test_a_budget_that_is_spent_stops_the_job_for_all_where_that_is_asked(tmp_path):
    runs = Runs(tmp_path)
    small = dataset("hilltop", publicSize=100, privacyBudget={"epsilon": "9", "delta": "1e-5", "epsilonPerJob": "0.1"})
    privacy = {"epsilon": "2", "sampleRate": "1", "onExhausted": "StopJob"}
    done = runs.run(small, privacy=privacy, hospitals=JOB["spec"]["hospitals"] | {"minReady": 2})

    assert "at most 0.1 for one job, affords 0 of the job's 5 rounds" in done.stdout
    assert (runs.report()["outcome"], runs.report()["reason"]) == ("Failed", "Budget")
    assert runs.report()["rounds"] == []  # though two hospitals would do
