import pytest
from observed import conditions, joined, shown

from consilia_operator import kinds
from consilia_operator.names import COMPONENT, JOB, JOB_NAMESPACE, KAFKA, TASK
from consilia_operator.names import DATASET as DATASET_LABEL
from consilia_operator.store import Key, Store, key_of
from consilia_operator.waking import wake

WAITING = shown("FederatedJob", {".metadata.name": "waiting"})
RUNNING = shown("FederatedJob", {".metadata.name": "running"})
RUNNING["status"] = {"conditions": conditions(Accepted="True", TransportReady="True")}
ENDED = shown("FederatedJob", {".metadata.name": "ended"}) | {"status": {"conditions": conditions(Failed="True")}}
OFFER = shown("HospitalTask", {".metadata.labels": {JOB: "running", JOB_NAMESPACE: "hub"}})
BY_HAND = shown("HospitalTask", {".metadata.name": "by-hand", "dataset": "other"})
DATASET = shown("Dataset")
HOSPITAL = joined("a")


@pytest.fixture
def store():
    found = Store()
    for each in (WAITING, RUNNING, ENDED, OFFER, BY_HAND, DATASET, HOSPITAL):
        found.put(kinds.of(each), each)
    return found


def labelled(kind, **labels):
    return {"apiVersion": kind.api_version, "kind": kind.kind,
            "metadata": {"name": "made", "namespace": "a", "labels": labels}}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "woken"),
    [
        (WAITING, {"FederatedJob hub/waiting"}),
        (HOSPITAL, {"Hospital hub/a", "FederatedJob hub/waiting"}),
        (DATASET, {"Dataset a/patients", "HospitalTask a/study", "Hospital hub/a"}),
        (OFFER, {"HospitalTask a/study", "FederatedJob hub/running", "Dataset a/patients"}),
        (BY_HAND, {"HospitalTask a/by-hand", "Dataset a/other"}),
        (labelled(kinds.JOB, **{TASK: "study"}), {"HospitalTask a/study"}),
        (labelled(kinds.POD, **{JOB: "running"}), {"FederatedJob a/running"}),
        (labelled(kinds.STATEFUL_SET, **{COMPONENT: "kafka"}), {"StatefulSet a/consilia-kafka"}),
        (labelled(kinds.DEPLOYMENT, **{COMPONENT: "ledger"}), {"Dataset a/patients"}),
        (labelled(kinds.JOB, **{COMPONENT: "inspection", DATASET_LABEL: "patients"}), {"Dataset a/patients"}),
        (labelled(kinds.POD), set()),
        ({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}, {"Hospital hub/a"}),
    ],
)
def test_whatever_changes_wakes_what_depends_on_it(store, changed, woken):
    kind = kinds.of(changed)
    assert {str(key) for key in wake(store, key_of(kind, changed), changed)} == woken


def test_a_broker_wakes_the_upkeep_and_the_jobs_of_its_namespace_that_wait_for_the_log(store):
    broker = labelled(kinds.STATEFUL_SET, **{COMPONENT: "kafka"})
    broker["metadata"]["namespace"] = "hub"
    found = list(wake(store, key_of(kinds.STATEFUL_SET, broker), broker))
    assert found == [Key(kinds.STATEFUL_SET, "hub", KAFKA), Key(kinds.FEDERATED_JOB, "hub", "waiting")]


def test_a_broker_wakes_the_hospitals_in_other_clusters_that_wait_to_be_admitted(store):
    for name, status in {"new": {}, "old": {"conditions": conditions(Joined="True")}}.items():
        store.put(kinds.HOSPITAL, joined(name) | {"spec": {"accepted": True, "cluster": "Own"}, "status": status})
    broker = labelled(kinds.STATEFUL_SET, **{COMPONENT: "kafka"})
    broker["metadata"]["namespace"] = "hub"
    found = {
        each.name for each in wake(store, key_of(kinds.STATEFUL_SET, broker), broker) if each.kind == kinds.HOSPITAL
    }
    assert found == {"new"}
