"""The operator against a real API server: what it makes of what people apply, change and delete."""

import pytest
from api_documents import KEY
from hub_and_hospitals import HubAndHospitals
from running_operator import operating, settings
from transport_in_memory import TransportInMemory

from consilia_operator import hospital_tasks, kinds, reconcile
from consilia_operator.errors import ApiRefused
from consilia_operator.kinds import (
    CONFIG_MAP,
    DATASET,
    DEPLOYMENT,
    FEDERATED_JOB,
    HOSPITAL,
    HOSPITAL_TASK,
    JOB,
    PVC,
    SECRET,
    SERVICE,
)
from consilia_operator.names import HUB

pytestmark = pytest.mark.slow  # starting the API server may take long on a busy machine


@pytest.fixture(scope="module")
def transport():
    return TransportInMemory()


@pytest.fixture(scope="module")
def operator(cluster, thread, transport):
    with operating(thread, settings(workers=2), transport=transport) as found:
        yield found
        assert found.bugs() == 0


@pytest.fixture
def world(cluster, request):
    """Named after the test, so that no two meet."""
    words = request.node.name.split("[")[0].split("_")
    return lambda *hospitals: HubAndHospitals(cluster, "-".join(words[1:7])[:40].strip("-"), hospitals)


def test_a_hospital_joins_when_its_namespace_consents_and_shows_one_key_for_ever(cluster, operator, world):
    here = world("a")
    name = here.hospitals[0]
    cluster.create(here.made("Hospital", here.hub, {".metadata.name": name, "accepted": True}))
    told = cluster.until_condition(HOSPITAL, here.hub, name, "Joined", "NamespaceDoesNotConsent")
    assert f"kubectl label namespace {name} {HUB}={here.hub} --overwrite" in told["message"]
    cluster.namespace(name, here.hub)
    cluster.until_condition(HOSPITAL, here.hub, name, "Joined", "KeyShown")
    shown = cluster.get(HOSPITAL, here.hub, name)["status"]["publicKey"]
    assert shown.startswith("-----BEGIN PUBLIC KEY-----")
    cluster.merge(kinds.NAMESPACE, "", name, {"metadata": {"labels": {HUB: "another"}}})
    cluster.until_condition(HOSPITAL, here.hub, name, "Joined", "NamespaceDoesNotConsent")
    cluster.merge(kinds.NAMESPACE, "", name, {"metadata": {"labels": {HUB: here.hub}}})
    cluster.until_condition(HOSPITAL, here.hub, name, "Joined", "KeyShown")
    assert cluster.get(HOSPITAL, here.hub, name)["status"]["publicKey"] == shown


def test_a_pinned_key_must_be_the_one_that_is_shown(cluster, operator, world):
    here = world("a")
    name = here.hospitals[0]
    cluster.namespace(name, here.hub)
    cluster.create(here.made("Hospital", here.hub, {".metadata.name": name, "accepted": True, "publicKey": KEY}))
    cluster.until_condition(HOSPITAL, here.hub, name, "Joined", "KeyMismatch")


def test_nobody_can_be_called_as_the_aggregator_is(cluster, operator, world):
    here = world()
    cluster.create(here.made("Hospital", here.hub, {".metadata.name": "aggregator", "accepted": True}))
    cluster.until_condition(HOSPITAL, here.hub, "aggregator", "Joined", "NameTaken")


def test_a_damaged_identity_is_told_and_made_anew_once_it_is_away(cluster, operator, world):
    here = world("a")
    name = here.hospitals[0]
    cluster.namespace(name, here.hub)
    metadata = {"name": "consilia-identity", "namespace": name}
    cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"public.pem": "?"}})
    cluster.create(here.made("Hospital", here.hub, {".metadata.name": name, "accepted": True}))
    told = cluster.until_condition(HOSPITAL, here.hub, name, "Joined", "IdentityDamaged")
    assert f"kubectl -n {name} delete secret consilia-identity" in told["message"]
    cluster.delete(SECRET, name, "consilia-identity")
    cluster.merge(HOSPITAL, here.hub, name, {"spec": {"accepted": False}})
    cluster.until_condition(HOSPITAL, here.hub, name, "Joined", "KeyShown")


def test_a_dataset_is_ready_when_its_claim_is_there(cluster, operator, world):
    here = world()
    source = {"source": {"persistentVolumeClaim": {"claimName": "records"}}}
    cluster.create(here.made("Dataset", here.hub, source))
    told = cluster.until_condition(DATASET, here.hub, "patients", "Ready", "ClaimMissing")
    assert "There is no PersistentVolumeClaim records here. Make it" in told["message"]
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    metadata = {"name": "records", "namespace": here.hub}
    cluster.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
    cluster.merge(DATASET, here.hub, "patients", {"spec": {"parameters": {"look": "again"}}})
    cluster.until_condition(DATASET, here.hub, "patients", "Ready", "ClaimFound")


def test_a_job_gets_its_aggregator_and_every_hospital_its_trainer(cluster, operator, world):
    here = world("a", "b")
    here.join()
    here.apply()
    for number, name in enumerate(here.hospitals):
        here.until_task_says("Training", "TrainerStarting", number)
        assert here.get(JOB, name, f"{here.task}-trainer")
        assert here.get(PVC, name, f"{here.task}-state")
        assert here.get(SECRET, name, f"{here.task}-log")
    here.until_says("Running", "AggregatorStarting")
    for kind in (DEPLOYMENT, SERVICE, SECRET, CONFIG_MAP):
        assert here.get(kind, here.hub, "study-aggregator"), kind
    status = here.until(lambda: here.job()["status"] if len(here.job()["status"].get("hospitals", ())) == 2 else None)
    assert status["summary"] == {
        "state": "AggregatorStarting", "rounds": "0/10", "hospitals": "0/2", "metric": "", "epsilon": "",
    }  # fmt: skip


def test_what_is_settled_is_left_alone(cluster, operator, world):
    here = world("a")
    here.join()
    here.apply({"hospitals.minReady": 1})
    here.until_task_says("Training", "TrainerStarting")
    here.until_says("QuorumMet", "WaitingForHospitals")
    cluster.until(lambda: len(operator.context.queue) == 0)
    before = [here.job(), here.get(HOSPITAL_TASK, here.hospitals[0], here.task)]
    for key in operator.context.store.all(FEDERATED_JOB, here.hub):
        operator.context.look_at(FEDERATED_JOB, here.hub, key["metadata"]["name"])
    operator.context.look_at(HOSPITAL_TASK, here.hospitals[0], here.task)
    cluster.until(lambda: len(operator.context.queue) == 0)
    assert [here.job(), here.get(HOSPITAL_TASK, here.hospitals[0], here.task)] == before


def test_without_a_rule_a_person_decides_and_may_take_the_word_back(cluster, operator, world):
    here = world("a")
    here.join({"parameters": {"site": "a"}})
    here.apply({"hospitals.minReady": 1})
    told = here.until_task_says("Approved", "WaitingForApproval")
    assert f"patch hospitaltask {here.task} --type=merge" in told["message"]
    assert here.get(JOB, here.hospitals[0], f"{here.task}-trainer") is None
    cluster.merge(HOSPITAL_TASK, here.hospitals[0], here.task, {"spec": {"decision": "Approved"}})
    here.until_task_says("Approved", "ApprovedByHospital")
    here.until(lambda: here.get(JOB, here.hospitals[0], f"{here.task}-trainer"))
    cluster.merge(HOSPITAL_TASK, here.hospitals[0], here.task, {"spec": {"decision": "Denied"}})
    here.until_task_says("Denied", "DeniedByHospital")
    here.until(lambda: here.get(JOB, here.hospitals[0], f"{here.task}-trainer") is None)
    here.until(lambda: here.job()["status"]["hospitals"][0]["state"] == "Denied")


def test_a_suspended_job_has_no_pods_and_goes_on_when_it_is_resumed(cluster, operator, world):
    here = world("a")
    here.join()
    here.apply({"hospitals.minReady": 1, "runPolicy": {"suspend": True}})
    here.until_says("Running", "Suspended")
    assert here.get(DEPLOYMENT, here.hub, "study-aggregator") is None
    cluster.merge(FEDERATED_JOB, here.hub, "study", {"spec": {"runPolicy": {"suspend": False}}})
    here.until(lambda: here.get(JOB, here.hospitals[0], f"{here.task}-trainer"))
    assert here.get(DEPLOYMENT, here.hub, "study-aggregator")["spec"]["replicas"] == 1
    cluster.merge(FEDERATED_JOB, here.hub, "study", {"spec": {"runPolicy": {"suspend": True}}})
    here.until(lambda: here.get(DEPLOYMENT, here.hub, "study-aggregator")["spec"]["replicas"] == 0)
    here.until_task_says("Training", "Suspended")
    here.until(lambda: here.get(JOB, here.hospitals[0], f"{here.task}-trainer") is None)
    cluster.merge(FEDERATED_JOB, here.hub, "study", {"spec": {"runPolicy": {"suspend": False}}})
    here.until(lambda: here.get(DEPLOYMENT, here.hub, "study-aggregator")["spec"]["replicas"] == 1)
    here.until(lambda: here.get(JOB, here.hospitals[0], f"{here.task}-trainer"))


def test_what_a_deleted_job_left_in_hospitals_is_swept(cluster, operator, world):
    here = world("a", "b")
    here.join()
    here.apply()
    here.until_task_says("Training", "TrainerStarting")
    cluster.delete(FEDERATED_JOB, here.hub, "study")
    for name in here.hospitals:
        here.until(lambda name=name: here.get(HOSPITAL_TASK, name, here.task) is None)


def test_a_job_made_anew_gets_offers_of_its_own(cluster, operator, world):
    here = world("a")
    here.join()
    here.apply({"hospitals.minReady": 1})
    here.until_task_says("Training", "TrainerStarting")
    first = here.task
    cluster.delete(FEDERATED_JOB, here.hub, "study")
    here.apply({"hospitals.minReady": 1})
    told = here.until_says("Running", "Refused")
    assert "There is another's Secret study-aggregator." in told["message"]  # as long as the old job's is there
    for kind, name in ((SECRET, "study-aggregator"), (CONFIG_MAP, "study-roster"), (DEPLOYMENT, "study-aggregator"),
                       (CONFIG_MAP, "study-aggregator"), (SECRET, "study-aggregator-log"),
                       (SERVICE, "study-aggregator"), (kinds.NETWORK_POLICY, "study-aggregator")):  # fmt: skip
        cluster.delete(kind, here.hub, name)  # what the garbage collector does in a whole cluster
    here.until_task_says("Training", "TrainerStarting")
    here.until(lambda: here.get(HOSPITAL_TASK, here.hospitals[0], first) is None)


def test_a_finished_job_goes_when_its_time_is_over(cluster, operator, world):
    here = world("a")
    job = here.apply({"hospitals.minReady": 1, "runPolicy": {"ttlSecondsAfterFinished": 1}})
    here.until_says("Accepted", "HospitalsMissing")
    ended = [
        {"type": kind, "status": status, "reason": "Done", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for kind, status in (("Running", "False"), ("Succeeded", "True"))
    ]
    cluster.set_status(job, {"conditions": ended, "completionTime": "2026-01-01T00:00:00Z"})
    here.until(lambda: here.job() is None)


def test_what_was_agreed_on_cannot_be_edited(cluster, operator, world):
    here = world("a")
    here.apply({"hospitals.minReady": 1})
    with pytest.raises(ApiRefused, match="rounds cannot be changed; create another") as refused:
        cluster.merge(FEDERATED_JOB, here.hub, "study", {"spec": {"rounds": {"count": 99}}})
    assert refused.value.status == 422


def test_an_offer_that_somebody_made_by_hand_is_judged_and_breaks_nothing(cluster, operator, world):
    here = world("a")
    here.join()
    cluster.create(here.made("HospitalTask", here.hospitals[0]))
    cluster.until_condition(HOSPITAL_TASK, here.hospitals[0], "study", "Approved", "OfferIncomplete")
    assert operator.bugs() == 0


def test_a_job_whose_name_begins_with_a_digit_gets_a_service_too(cluster, operator, world):
    here = world("a")
    here.join()
    job = here.made("FederatedJob", here.hub, {".metadata.name": "2026-study", "hospitals.names": here.hospitals,
                                                "hospitals.minReady": 1})  # fmt: skip
    cluster.create(job)
    here.until(lambda: here.get(DEPLOYMENT, here.hub, "2026-study-aggregator"))
    assert here.get(SERVICE, here.hub, "job-2026-study-aggregator")


def test_a_log_that_the_operator_may_not_provide_is_told_and_tried_again(
    cluster, operator, world, transport, monkeypatch
):
    monkeypatch.setattr(reconcile, "_REFUSED_LATER", 1.0)
    here = world("a")
    here.join()
    transport.refusal = ApiRefused(403, "statefulsets is forbidden: exceeded quota")
    try:
        here.apply({"hospitals.minReady": 1})
        told = here.until_says("TransportReady", "Refused")
        assert "exceeded quota" in told["message"]
    finally:
        transport.refusal = None
    here.until_says("TransportReady", "KafkaReady")


def test_a_trainer_without_a_pod_says_where_to_look_and_one_in_a_queue_that_it_waits(
    cluster, operator, world, monkeypatch
):
    monkeypatch.setattr(hospital_tasks, "_PODLESS", 1.0)
    here = world("a")
    here.join()
    here.apply({"hospitals.minReady": 1})
    told = here.until_task_says("Training", "NoPod")  # nobody makes pods of Jobs here
    trainer = f"{here.task}-trainer"
    assert f"kubectl -n {here.hospitals[0]} describe job {trainer}" in told["message"]
    cluster.merge(JOB, here.hospitals[0], trainer, {"spec": {"suspend": True}})  # as Kueue does
    here.until_task_says("Training", "Queued")
