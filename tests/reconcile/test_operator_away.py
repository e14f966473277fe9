"""What happens while no operator runs is found when one does; and what it makes is within the restricted standard."""

import pytest
from hub_and_hospitals import HubAndHospitals
from running_operator import operating, settings
from transport_in_memory import TransportInMemory

from consilia_operator.errors import ApiRefused
from consilia_operator.kinds import DEPLOYMENT, FEDERATED_JOB, HOSPITAL_TASK, JOB

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


def test_an_operator_that_starts_anew_changes_nothing(cluster, thread):
    here = HubAndHospitals(cluster, "anew", "ab")
    with operating(thread, settings(), transport=TransportInMemory()) as operator:
        here.join()
        here.apply()
        here.until_task_says("Training", "TrainerStarting")
        here.until_says("QuorumMet", "WaitingForHospitals")
        cluster.until(lambda: len(operator.context.queue) == 0)
        before = everything(cluster, here)
    with operating(thread, settings(), transport=TransportInMemory()) as operator:
        cluster.until(lambda: len(operator.context.queue) == 0)
        assert everything(cluster, here) == before


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
