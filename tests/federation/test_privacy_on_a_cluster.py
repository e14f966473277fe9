"""Privacy budgets on a real cluster: refused before a pod exists, spent in the middle of a job, never given back."""

import json
import time

import pytest
from installation import condition, ended, our_images, round_reached
from needed import real_data
from prometheus import configuration, pod_targets, running_prometheus

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]

HOSPITALS = ("cleveland", "hungarian", "va")
ENTRYPOINT = "consilia_workers.tasks.heart_disease:HeartDisease"
SIZES = {"cleveland": 150, "hungarian": 150, "va": 80}
BUDGET = {"epsilon": "20", "delta": "1e-5"}
ROUNDS = 40


def dataset(hospital, **spec):
    whole = {
        "source": {"persistentVolumeClaim": {"claimName": "patients"}},
        "approval": {"mode": "Automatic", "tasks": [ENTRYPOINT]},
        "publicSize": SIZES[hospital],
        "privacyBudget": BUDGET,
    }
    head = {"apiVersion": "consilia.dev/v1alpha1", "kind": "Dataset", "metadata": {"name": "heart-disease"}}
    return {**head, "spec": whole | spec}


@pytest.fixture(scope="module")
def budgeted(installation):
    """A hub and three hospitals, each with its own patients and a budget of ε = 20 on them."""
    folder = real_data("heart_disease")
    image = next(each.tag for each in our_images() if each.name == "operator")
    with installation.federation(HOSPITALS) as federation:
        for name in HOSPITALS:
            federation.bring(name, "patients", [folder / f"processed.{name}.data"], image)
            federation.cluster.apply(dataset(name), namespace=name)
        for name in HOSPITALS:
            federation.cluster.wait("dataset/heart-disease", "condition=Ready", name, 300)
        yield federation


def private(heart_job, name, privacy, rounds=ROUNDS):
    """The heart disease job with differential privacy, on the CPU."""
    return heart_job(
        name,
        hospitals={"names": list(HOSPITALS), "minReady": 3, "minUpdates": 2},
        resources={"gpu": 0},
        privacy=privacy,
        training={"localSteps": 5, "batchSize": 16, "seed": 1, "optimizer": {"name": "SGD", "learningRate": "0.1"}},
        rounds={"count": rounds, "deadlineSeconds": 120},
    )


def look(budgeted, hospital):
    """The Dataset's status."""
    return budgeted.cluster.get("dataset", "heart-disease", "-n", hospital).get("status", {})


def trainers(budgeted, hospital):
    chosen = "app.kubernetes.io/component=trainer"
    return budgeted.cluster.get("pods,jobs", "-n", hospital, "-l", chosen)["items"]


def rows(status):
    return {row["name"]: row for row in status.get("hospitals", ())}


def test_data_is_known_to_the_ledger_before_anything_is_trained(budgeted):
    for hospital in HOSPITALS:
        status = look(budgeted, hospital)
        assert condition(status, "Ready")["reason"] == "Inspected"
        assert (status["spent"], status["available"]) == ("0", "20")
        assert status["fingerprint"].startswith("sha256:")


def test_a_job_is_denied_for_its_budget_before_any_pod_exists(budgeted, heart_job):
    budgeted.apply(private(heart_job, "greedy", {"noiseMultiplier": "0.4"}, 500))
    status = budgeted.until(
        "greedy", lambda status: [row["state"] for row in rows(status).values()] == ["Denied"] * 3, 120
    )
    for hospital in HOSPITALS:
        assert "of the job's 500 rounds" in rows(status)[hospital]["message"]
        assert trainers(budgeted, hospital) == []
    budgeted.delete("greedy")


@pytest.fixture(scope="module")
def trained(budgeted, heart_job):
    """A job in whose middle one hospital's budget is lowered to less than it will spend."""
    budgeted.apply(private(heart_job, "private", {"epsilon": "4"}))
    budgeted.until("private", round_reached(5), 300)
    lowered = {"spec": {"privacyBudget": {"epsilon": "0.5"}}}
    budgeted.cluster.kubectl("patch", "dataset", "heart-disease", "-n", "hungarian", "--type=merge", "-p",
                             json.dumps(lowered))  # fmt: skip
    return budgeted.until("private", ended, 600)


def test_one_hospital_exhausts_in_the_middle_and_the_rest_finish(budgeted, trained):
    assert condition(trained, "Succeeded")["status"] == "True", json.dumps(trained, indent=1)
    states = {name: row["state"] for name, row in rows(trained).items()}
    assert states == {"cleveland": "Done", "hungarian": "Exhausted", "va": "Done"}
    assert trained["roundsCompleted"] == ROUNDS
    (task,) = budgeted.cluster.get("hospitaltasks", "-n", "hungarian")["items"]
    assert condition(task["status"], "Done")["reason"] == "BudgetExhausted"
    assert condition(look(budgeted, "hungarian"), "Exhausted")["reason"] == "BudgetExhausted"


def test_the_status_tells_what_was_spent(budgeted, trained):
    spent = {name: float(row["epsilonSpent"]) for name, row in rows(trained).items()}
    assert 0 < spent["hungarian"] < spent["cleveland"] <= 4
    assert float(trained["epsilon"]["maxSpent"]) == max(spent.values())
    line = budgeted.cluster.kubectl("get", "fj", "private", "-n", budgeted.hub, "--no-headers")
    assert trained["summary"]["epsilon"] in line.split()


def test_prometheus_shows_what_the_ledger_says(budgeted, trained, tmp_path):
    chosen = ("-l", "app.kubernetes.io/part-of=consilia", "--field-selector=status.phase=Running")
    targets = pod_targets(budgeted.cluster.get("pods", "-A", *chosen)["items"])
    with running_prometheus(tmp_path, configuration(targets)) as prometheus:
        prometheus.await_series("count(consilia_privacy_dataset_epsilon_spent) == 3")
        for hospital in HOSPITALS:
            asked = f'consilia_privacy_dataset_epsilon_spent{{hospital="{hospital}", dataset="heart-disease"}}'
            (series,) = prometheus.now(asked)
            assert float(series["value"][1]) == pytest.approx(float(look(budgeted, hospital)["spent"]), rel=1e-6)
        (alert,) = prometheus.await_series('ALERTS{alertname="ConsiliaPrivacyBudgetExhausted"}')
        assert alert["metric"]["hospital"] == "hungarian"


def test_deleting_and_recreating_a_dataset_refunds_nothing(budgeted, trained):
    before = look(budgeted, "cleveland")
    budgeted.cluster.kubectl("delete", "dataset", "heart-disease", "-n", "cleveland", "--timeout=60s")
    budgeted.cluster.apply(dataset("cleveland"), namespace="cleveland")
    budgeted.cluster.wait("dataset/heart-disease", "condition=Ready", "cleveland", 300)
    deadline = time.monotonic() + 30
    while (after := look(budgeted, "cleveland")).get("spent") is None:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert (after["spent"], after["fingerprint"]) == (before["spent"], before["fingerprint"])
    assert after["ledgerEntries"] >= before["ledgerEntries"]
