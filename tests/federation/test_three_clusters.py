"""A hub and two hospitals, each with a Kubernetes of its own: joined, installed and trained as the guides say."""

import json
import subprocess
from contextlib import ExitStack

import pytest
from hospital_cluster import hospital_cluster
from installation import ENTRYPOINT, HUB, QUICK, RESTRICTED, Federation, condition, ended, installed, our_images
from local_runs import run_here
from needed import real_data
from real_cluster import ours_or_skip

from tests.cluster import network
from tests.cluster.places import ClusterError

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1200)]
HOSPITALS = ("cleveland", "hungarian")
PORT = 30093
SOURCE = {"persistentVolumeClaim": {"claimName": "patients"}}
SIZES = {"aggregator": QUICK, "trainer": QUICK, "ledger": QUICK, "kafka": QUICK | {"limits": {"memory": "1Gi"}}}
OF_HOSPITALS = {
    "isolation": "Ignored",
    "sizes": {"trainer": QUICK, "ledger": QUICK},
    "storage": {"trainer": "200Mi", "ledger": "100Mi"},
}


@pytest.fixture(scope="module")
def hub(real_cluster):
    cluster = ours_or_skip(real_cluster)
    outside = {"type": "NodePort", "host": str(cluster.addresses.node(0)), "port": PORT}
    with installed(cluster, operator={"sizes": SIZES, "outside": outside, "resyncSeconds": 30}) as installation:
        installation.namespace(HUB, RESTRICTED)
        yield Federation(cluster, HUB, ())
        cluster.kubectl("delete", "namespace", HUB, "--ignore-not-found", timeout=300)


@pytest.fixture(scope="module")
def hospitals(hub, tmp_path_factory):
    """Both, joined and installed, each with its own patients."""
    folder, data = tmp_path_factory.mktemp("papers"), real_data("heart_disease")
    image = next(each.tag for each in our_images() if each.name == "operator")
    with ExitStack() as stack:
        found = [stack.enter_context(hospital_cluster(name, hub.cluster, folder)) for name in HOSPITALS]
        for each in found:
            each.join(HUB)
            ports = {"networkPolicy": {"log": {"ports": [{"first": PORT, "last": PORT}]}}}
            each.install(operator=OF_HOSPITALS, **ports)
            each.federation().bring(each.name, "patients", [data / f"processed.{each.name}.data"], image)
            each.federation().dataset("heart-disease", ENTRYPOINT, lambda _: SOURCE)
        yield {each.name: each for each in found}


@pytest.fixture(scope="module")
def job(heart_job):
    """Of ten rounds, which wants both."""
    wanted = {"names": list(HOSPITALS), "minReady": 2, "minUpdates": 2}
    rounds = {"count": 10, "deadlineSeconds": 600}
    return lambda name: heart_job(name, hospitals=wanted, rounds=rounds, resources={})


@pytest.fixture(scope="module")
def trained(hub, hospitals, job):
    """The job, as soon as it is over."""
    hub.apply(job("heart-disease"))
    return hub.until("heart-disease", ended, 400)


def test_both_hospitals_train_in_their_own_clusters_and_the_job_succeeds(hub, hospitals, trained):
    assert condition(trained, "Succeeded").get("status") == "True", json.dumps(trained, indent=1)
    assert trained["roundsCompleted"] == 10
    assert {each["name"]: each["state"] for each in trained["hospitals"]} == dict.fromkeys(sorted(hospitals), "Done")
    for name, each in hospitals.items():
        done = ("--for=condition=Done", "--timeout=60s")
        each.cluster.kubectl("wait", "hospitaltasks", "--all", "-n", name, *done, timeout=90)
    pods = hub.cluster.get("pods", "--all-namespaces", "-l", "app.kubernetes.io/component=trainer")["items"]
    assert pods == []


def test_the_model_is_the_one_of_a_local_run(hub, trained, job, tmp_path):
    assert hub.model("heart-disease") == run_here(tmp_path, job("heart-disease"))


def test_the_hospitals_own_test_finds_all_well(hospitals):
    """Its Kubernetes enforces no NetworkPolicies, which is why `isolation` is Ignored here."""
    for name, each in hospitals.items():
        said = each.cluster.helm("test", "consilia-hospital", "--namespace", name, "--timeout=2m")
        assert "Phase:          Succeeded" in said


def test_where_no_policy_is_enforced_the_hospitals_own_test_says_so(hospitals):
    each = hospitals["cleveland"]
    each.upgrade("--reuse-values", "--set", "operator.isolation=Required")
    with pytest.raises(ClusterError):
        each.cluster.helm("test", "consilia-hospital", "--namespace", "cleveland", "--timeout=2m")
    said = each.cluster.kubectl("logs", "consilia-hospital-operator-test", "-n", "cleveland")
    assert "does not enforce NetworkPolicies" in said
    each.upgrade("--reuse-values", "--set", "operator.isolation=Ignored")


def test_the_hub_sees_its_hospitals(hub, hospitals):
    for name in hospitals:
        status = hub.cluster.get("hospital", name, "-n", HUB)["status"]
        assert condition(status, "Joined")["reason"] == "Reported"
        assert condition(status, "Available")["status"] == "True"
        assert [each["name"] for each in status["datasets"]] == ["heart-disease"]


def test_no_connection_was_ever_opened_towards_a_hospital(hub, hospitals, trained):
    for each in hospitals.values():
        first = each.cluster.state.first.pid
        assert network.calls(first) == 0
        # And the filter does count: somebody at the hub tries to.
        address, port = str(each.cluster.addresses.node(0)), "6443"
        knock = f"exec 3<>/dev/tcp/{address}/{port}"
        hub_node = network.enter(hub.cluster.state.first.pid)
        subprocess.run([*hub_node, "timeout", "5", "bash", "-c", knock], check=False, capture_output=True, timeout=20)
        assert network.calls(first) > 0


def test_a_job_that_is_deleted_is_gone_there_too(hub, hospitals, trained):
    hub.delete("heart-disease")
    for name, each in hospitals.items():
        each.cluster.kubectl("wait", "hospitaltasks", "--all", "--for=delete", "-n", name, "--timeout=60s", timeout=90)


def test_who_is_expelled_is_not_asked_any_more(hub, hospitals, job):
    patch = json.dumps({"spec": {"accepted": False}})
    hub.cluster.kubectl("patch", "hospital", "hungarian", "-n", HUB, "--type=merge", "-p", patch)
    hub.cluster.kubectl("wait", "hospital/hungarian", "-n", HUB, "--for=condition=Joined=false", "--timeout=60s")
    hub.apply(job("again"))
    status = hub.until("again", lambda found: bool(condition(found, "Accepted")), 60)
    assert condition(status, "Accepted")["reason"] == "HospitalsNotJoined"
    assert hospitals["hungarian"].cluster.get("hospitaltasks", "-n", "hungarian")["items"] == []
    hub.delete("again")
