"""Managed Kafka of three brokers on a real cluster: one is lost for many rounds, and comes back."""

import json

import pytest
import yaml
from installation import condition, ended, round_reached
from local_runs import run_here
from pages import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]
HOSPITALS = ("riverside", "lakeview", "hilltop")
LOST = "consilia-kafka-0"
NO_NEW_PODS = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "none"},
    "spec": {"hard": {"pods": "0"}},
}


@pytest.fixture
def federation(installation):
    with installation.federation(HOSPITALS, hub="wide-hub") as found:
        entrypoint = "consilia_workers.tasks.breast_cancer:BreastCancer"
        found.dataset("breast-cancer", entrypoint, lambda _: {"builtin": {}})
        yield found


@pytest.fixture
def job():
    """The example, with more rounds, each of all three hospitals."""
    found = yaml.safe_load((ROOT / "examples" / "breast-cancer.yaml").read_text())
    found["spec"]["hospitals"]["minUpdates"] = 3
    found["spec"]["rounds"] = {"count": 60, "deadlineSeconds": 600}
    found["spec"]["transport"] = {"managed": {"brokers": 3}}
    return found


def test_a_job_goes_on_with_two_of_three_brokers_and_comes_to_the_same_model(federation, job, tmp_path):
    federation.apply(job)
    kubectl, hub = federation.cluster.kubectl, federation.hub
    status = federation.until("breast-cancer", round_reached(5), 400)
    assert ready_brokers(federation) == 3
    federation.cluster.apply(NO_NEW_PODS, namespace=hub)
    kubectl("delete", "pod", LOST, "-n", hub, "--grace-period=0", "--force")
    begun = federation.job("breast-cancer")["status"]["roundsCompleted"]
    status = federation.until("breast-cancer", round_reached(begun + 20), 300)
    assert not ended(status), json.dumps(status, indent=1)
    assert LOST not in kubectl("get", "pods", "-n", hub, "-o", "name")
    kubectl("delete", "resourcequota", "none", "-n", hub)
    federation.cluster.wait("statefulset/consilia-kafka", "jsonpath={.status.readyReplicas}=3", hub, 240)
    status = federation.until("breast-cancer", ended, 400)
    assert condition(status, "Succeeded")["status"] == "True", json.dumps(status, indent=1)
    assert federation.model("breast-cancer") == run_here(tmp_path, job)


def ready_brokers(federation):
    return federation.cluster.get("statefulset", "consilia-kafka", "-n", federation.hub)["status"]["readyReplicas"]
