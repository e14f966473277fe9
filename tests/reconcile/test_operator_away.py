"""What happens while no operator runs is found when one does; and what it makes is within the restricted standard."""

import time

import pytest
from hub_and_hospitals import HubAndHospitals
from running_operator import operating, settings
from transport_in_memory import TransportInMemory

from consilia_operator import reconcile
from consilia_operator.errors import ApiRefused
from consilia_operator.kinds import DEPLOYMENT, FEDERATED_JOB, HOSPITAL_TASK, JOB
from consilia_operator.names import job_labels

pytestmark = pytest.mark.slow  # starting the API server may take long on a busy machine


def test_a_job_that_was_deleted_while_no_operator_ran_is_swept_and_one_that_was_made_is_begun(cluster, thread):
    old, new = (HubAndHospitals(cluster, f"away-{name}", "ab") for name in ("old", "new"))
    with operating(thread, settings(), transport=TransportInMemory()):
        old.join()
        old.apply()
        old.until_task_says("Training", "TrainerStarting")
    cluster.delete(FEDERATED_JOB, old.hub, "study")
    new.join()
    new.apply()
    with operating(thread, settings(), transport=TransportInMemory()) as operator:
        for name in old.hospitals:
            cluster.until(lambda name=name: cluster.get(HOSPITAL_TASK, name, old.task) is None)
        new.until_task_says("Training", "TrainerStarting")
        assert operator.bugs() == 0


def settled(cluster, thread, here):
    """A job, and all that an operator makes of it before it goes; what is there then."""
    with operating(thread, settings(), transport=TransportInMemory()) as operator:
        here.join()
        here.apply()
        here.until_task_says("Training", "TrainerStarting")
        here.until_says("QuorumMet", "WaitingForHospitals")
        cluster.until(lambda: len(operator.context.queue) == 0)
        return everything(cluster, here)


def test_an_operator_that_starts_anew_changes_nothing(cluster, thread):
    here = HubAndHospitals(cluster, "anew", "ab")
    before = settled(cluster, thread, here)
    with operating(thread, settings(), transport=TransportInMemory()) as operator:
        cluster.until(lambda: len(operator.context.queue) == 0)
        assert everything(cluster, here) == before


def test_a_job_that_was_made_anew_while_no_operator_ran_leaves_nothing_of_the_old_one(cluster, thread):
    here = HubAndHospitals(cluster, "made-anew", "ab")
    with operating(thread, settings(), transport=TransportInMemory()):
        here.join()
        here.apply()
        here.until_task_says("Training", "TrainerStarting")
    old = here.task
    cluster.delete(FEDERATED_JOB, here.hub, "study")
    here.apply()
    with operating(thread, settings(), transport=TransportInMemory()) as operator:
        for name in here.hospitals:
            cluster.until(lambda name=name: cluster.get(HOSPITAL_TASK, name, old) is None)
        assert operator.bugs() == 0


def images_of(here):
    """Of the aggregator and the first trainer."""
    trainer = here.get(JOB, here.hospitals[0], f"{here.task}-trainer")
    found = [here.get(DEPLOYMENT, here.hub, "study-aggregator"), trainer]
    return [each["spec"]["template"]["spec"]["containers"][0]["image"] for each in found if each]


def test_a_running_job_keeps_its_version_when_the_operator_is_another_and_a_resumed_one_has_the_new(cluster, thread):
    here = HubAndHospitals(cluster, "kept", "ab")
    before = settled(cluster, thread, here)
    old = images_of(here)
    newer = settings(
        images={"worker": "worker:2", "kafka": "kafka:2", "pullSecrets": ["login"]},
        sizes={part: {"requests": {"cpu": "2"}} for part in ("aggregator", "trainer")},
    )
    with operating(thread, newer, transport=TransportInMemory()) as another:
        cluster.until(lambda: len(another.context.queue) == 0)
        assert everything(cluster, here) == before
        for suspended in (True, False):
            cluster.merge(FEDERATED_JOB, here.hub, "study", {"spec": {"runPolicy": {"suspend": suspended}}})
            replicas = 0 if suspended else 1
            cluster.until(
                lambda n=replicas: here.get(DEPLOYMENT, here.hub, "study-aggregator")["spec"]["replicas"] == n
            )
        cluster.until(lambda: images_of(here) == ["worker:2", "worker:2"])
        assert old != ["worker:2", "worker:2"]


def test_a_limit_that_ended_while_no_operator_ran_waits_until_the_aggregator_was_heard(cluster, thread, monkeypatch):
    monkeypatch.setattr(reconcile, "_HEARING", 4.0)
    here = HubAndHospitals(cluster, "unheard", "ab")
    with operating(thread, settings(), transport=TransportInMemory()):
        here.join()
        job = here.apply({"runPolicy": {"schedulingTimeoutSeconds": 10}})
        here.until_task_says("Training", "TrainerStarting")
    cluster.create_other(f"/api/v1/namespaces/{here.hub}/serviceaccounts", {"metadata": {"name": "default"}})
    cluster.set_status(cluster.create(running_pod_of(job)), RUNNING)
    time.sleep(10)
    began = time.monotonic()
    with operating(thread, settings(), transport=TransportInMemory()):
        here.until_says("Failed", "SchedulingTimeout")
        assert time.monotonic() - began > 4


RUNNING = {
    "phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}],
    "containerStatuses": [{"name": "aggregator", "image": "worker:1", "imageID": "", "ready": True,
                           "restartCount": 0, "state": {"running": {}}}],
}  # fmt: skip
"""As the kubelet says it; nobody listens there."""


def running_pod_of(job):
    """The aggregator's pod, which the controllers of a whole cluster would have made."""
    spec = {"containers": [{"name": "aggregator", "image": "worker:1"}]}
    metadata = {"name": "study-aggregator-1", "namespace": job["metadata"]["namespace"],
                "labels": job_labels(job, "aggregator")}  # fmt: skip
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def everything(cluster, here):
    """All that the operator makes or writes, in the version that it has."""
    found = [here.job(), cluster.get(DEPLOYMENT, here.hub, "study-aggregator")]
    for name in here.hospitals:
        found += [cluster.get(HOSPITAL_TASK, name, here.task), cluster.get(JOB, name, f"{here.task}-trainer")]
    return [(each["kind"], each["metadata"]["uid"], each["metadata"]["resourceVersion"]) for each in found]


def test_the_pods_that_it_asks_for_are_let_in_where_the_restricted_standard_is_enforced(cluster, thread):
    here = HubAndHospitals(cluster, "restricted", "ab")
    with operating(thread, settings(), transport=TransportInMemory()):
        here.join()
        here.apply()
        here.until_task_says("Training", "TrainerStarting")
        deployment = here.until(lambda: cluster.get(DEPLOYMENT, here.hub, "study-aggregator"))
        trainer = cluster.get(JOB, here.hospitals[0], f"{here.task}-trainer")
    strict = "strict"
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": strict, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})  # fmt: skip
    cluster.create_other(f"/api/v1/namespaces/{strict}/serviceaccounts", {"metadata": {"name": "default"}})
    for number, owner in enumerate((deployment, trainer)):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{number}", "namespace": strict},
               "spec": owner["spec"]["template"]["spec"] | {"serviceAccountName": "default"}}  # fmt: skip
        assert not told(cluster, pod)
        pod["metadata"]["name"] += "-worse"
        pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
        assert "allowPrivilegeEscalation" in told(cluster, pod)  # the API server does look


def told(cluster, pod):
    """Why the API server does not take the pod; empty if it does."""
    try:
        cluster.create(pod)
    except ApiRefused as error:
        return str(error)
    return ""
