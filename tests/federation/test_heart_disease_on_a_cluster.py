"""The main job on a real cluster: `kubectl apply`, and a trained model; whatever is killed, the same model."""

import json
import time

import pytest
from installation import SYSTEM, condition, ended, round_reached
from prometheus import configuration, pod_targets, run_all_panels, running_prometheus

from consilia.api import FederatedJob
from consilia.api.job_status import FederatedJobStatus

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def trained(hearts, heart_job):
    """The job, apply to end."""
    applied = time.time()
    hearts.apply(heart_job("heart-disease"))
    status = hearts.until("heart-disease", ended, 600)
    return applied, status


def test_it_succeeds(trained):
    _, status = trained
    assert condition(status, "Succeeded")["status"] == "True", json.dumps(status, indent=1)
    assert status["summary"]["rounds"] == "50/50"
    assert status["summary"]["hospitals"] == "4/4"
    assert [row["state"] for row in status["hospitals"]] == ["Done"] * 4


def test_the_model_is_the_one_of_a_local_run(hearts, trained, local_model):
    assert hearts.model("heart-disease") == local_model


def test_the_status_is_one_that_the_types_know(hearts, trained):
    job = FederatedJob.model_validate(hearts.job("heart-disease"))
    assert isinstance(job.status, FederatedJobStatus)
    assert job.status.model
    assert job.status.model.round == 50


def test_kubectl_tells_the_story_in_one_line(hearts, trained):
    header, line = hearts.cluster.kubectl("get", "fj", "heart-disease", "-n", hearts.hub).splitlines()
    assert header.split() == ["NAME", "STATE", "ROUND", "HOSPITALS", "METRIC", "EPSILON", "AGE"]
    assert line.split()[:3] == ["heart-disease", "Succeeded", "50/50"]
    assert "accuracy 0." in line


def test_describe_tells_how_to_fetch_the_model(hearts, trained):
    told = hearts.cluster.kubectl("describe", "fj", "heart-disease", "-n", hearts.hub)
    assert "kubectl -n hub exec deploy/heart-disease-aggregator -- consilia-model > model.safetensors" in told


def test_every_trainer_had_a_gpu_and_no_token(hearts, trained):
    for hospital in hearts.hospitals:
        (pod,) = hearts.cluster.get("pods", "-n", hospital, "-l", "app.kubernetes.io/component=trainer")["items"]
        (container,) = pod["spec"]["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert pod["spec"]["automountServiceAccountToken"] is False
        data = next(each for each in container["volumeMounts"] if each["name"] == "data")
        assert data["readOnly"] is True


def test_every_hospital_has_its_own_record_of_the_job(hearts, trained):
    for hospital in hearts.hospitals:
        hearts.cluster.wait("hospitaltask/" + _task_of(hearts, hospital), "condition=Done", hospital)
        (task,) = hearts.cluster.get("hospitaltasks", "-n", hospital)["items"]
        assert task["status"]["state"] == "Done"
        assert task["status"]["round"] == 50
        assert condition(task["status"], "Approved")["reason"] == "ApprovedByRule"


def _task_of(hearts, hospital):
    (task,) = hearts.cluster.get("hospitaltasks", "-n", hospital)["items"]
    return task["metadata"]["name"]


def test_a_deleted_job_leaves_nothing_behind_but_kafka(hearts, trained, local_model):
    hearts.delete("heart-disease")
    kinds = "deployments,jobs,pods,services,configmaps,networkpolicies,hospitaltasks"
    deadline = time.monotonic() + 60
    while True:
        left = [
            f"{namespace} {each['kind']} {each['metadata']['name']}"
            for namespace in (hearts.hub, *hearts.hospitals)
            for each in hearts.cluster.get(kinds, "-n", namespace)["items"]
            if not each["metadata"]["name"].startswith(("kube-root-ca", "consilia-kafka"))
        ]
        left += [line for line in _topics(hearts) if "heart-disease" in line and not line.endswith("-delete")]
        if not left:
            return
        assert time.monotonic() < deadline, left
        time.sleep(1)


def _topics(hearts):
    kubectl = hearts.cluster.kubectl
    return kubectl("exec", "consilia-kafka-0", "-n", hearts.hub, "--", "ls", "/var/lib/consilia/kafka").splitlines()


def _kill_pod(hearts, namespace, component):
    """As a node that dies would: at once, and by name, so that the next one is another."""
    selector = f"app.kubernetes.io/component={component}"
    name = hearts.cluster.kubectl("get", "pods", "-n", namespace, "-l", selector, "-o", "name").split()[0]
    hearts.cluster.kubectl("delete", name, "-n", namespace, "--grace-period=0", "--force", "--wait=false")


def test_the_job_survives_every_kill_and_comes_to_the_same_model(hearts, long_job, killable_cluster, long_local_model):
    hearts.apply(long_job("survivor"))
    uid = hearts.job("survivor")["metadata"]["uid"]
    kills = (
        ("the aggregator", lambda: _kill_pod(hearts, hearts.hub, "aggregator")),
        ("a trainer", lambda: _kill_pod(hearts, "cleveland", "trainer")),
        ("the broker", lambda: _kill_pod(hearts, hearts.hub, "kafka")),
        ("the kubelet", lambda: killable_cluster.kill("kubelet")),
        # The last, as rounds go on without it, and nobody would tell how far they are.
        ("the operator", lambda: _kill_pod(hearts, SYSTEM, "operator")),
    )
    killed = []
    for number, (what, kill) in enumerate(kills):
        status = hearts.until("survivor", round_reached(10 + 30 * number), 240)
        assert not ended(status), f"over before {what} was killed: {json.dumps(status, indent=1)}"
        kill()
        killed.append(what)
    status = hearts.until("survivor", ended, 400)
    assert len(killed) == 5
    assert condition(status, "Succeeded")["status"] == "True", json.dumps(status, indent=1)
    assert hearts.job("survivor")["metadata"]["uid"] == uid
    assert hearts.model("survivor") == long_local_model
    hearts.delete("survivor")


def test_prometheus_finds_something_for_every_panel(hearts, heart_job, tmp_path):
    hearts.apply(heart_job("watched"))
    hearts.until("watched", lambda status: "startTime" in status)
    chosen = ("-l", "app.kubernetes.io/part-of=consilia", "--field-selector=status.phase=Running")
    targets = pod_targets(hearts.cluster.get("pods", "-A", *chosen)["items"])
    assert len(targets) >= 6, "the operator, the aggregator and four trainers"
    with running_prometheus(tmp_path, configuration(targets)) as prometheus:
        hearts.until("watched", ended, 400)
        prometheus.await_series("consilia_rounds_total == 50")
        found = run_all_panels(prometheus.url)
    empty = {panel for (_, panel, _), series in found.items() if series == 0}
    assert empty == {"Hospitals heard of", "Hub followed"}, "which are for hospitals in clusters of their own"
    hearts.delete("watched")


def test_a_suspended_job_gives_back_its_pods_and_goes_on_to_the_same_model(hearts, heart_job, local_model):
    hearts.apply(heart_job("patient"))
    hearts.until("patient", round_reached(3))
    _suspend(hearts, True)
    status = hearts.until("patient", lambda status: condition(status, "Suspended").get("status") == "True")
    assert not ended(status)
    deadline = time.monotonic() + 90
    while _pods_of_programs(hearts):
        assert time.monotonic() < deadline, _pods_of_programs(hearts)
        time.sleep(0.5)
    _suspend(hearts, False)
    status = hearts.until("patient", ended, 400)
    assert condition(status, "Succeeded")["status"] == "True", json.dumps(status, indent=1)
    assert hearts.model("patient") == local_model
    hearts.delete("patient")


def _suspend(hearts, value):
    patch = json.dumps({"spec": {"runPolicy": {"suspend": value}}})
    hearts.cluster.kubectl("patch", "fj", "patient", "-n", hearts.hub, "--type=merge", "-p", patch)


def _pods_of_programs(hearts):
    selector = "app.kubernetes.io/component in (aggregator,trainer)"
    spaces = (hearts.hub, *hearts.hospitals)
    return [
        name
        for namespace in spaces
        for name in hearts.cluster.kubectl("get", "pods", "-n", namespace, "-l", selector, "-o", "name").split()
        if name.startswith("pod/patient-")
    ]


def test_a_job_that_asks_for_too_many_gpus_says_so_and_gives_up_in_time(hearts, heart_job):
    hearts.apply(heart_job("greedy", resources={"gpu": 64}, runPolicy={"schedulingTimeoutSeconds": 30}))
    status = hearts.until("greedy", lambda status: status.get("summary", {}).get("state") == "NoGpuFree", 60)
    assert "nvidia.com/gpu" in condition(status, "QuorumMet")["message"]
    status = hearts.until("greedy", ended, 90)
    assert condition(status, "Failed")["reason"] == "SchedulingTimeout"
    hearts.delete("greedy")


def test_a_task_that_does_not_exist_ends_the_job_with_its_name(hearts, heart_job):
    task = {"entrypoint": "no_such_module:NoSuchTask"}
    hearts.apply(heart_job("nowhere", task=task))
    status = hearts.until("nowhere", ended, 180)
    assert condition(status, "Failed")["status"] == "True"
    assert "no_such_module" in condition(status, "Failed")["message"]
    hearts.delete("nowhere")


def test_an_image_that_cannot_be_pulled_is_named_in_the_state(hearts, heart_job):
    # On the node itself, where nobody listens: elsewhere would keep the kubelet waiting, and the pod with it.
    image = "localhost:1/task@sha256:" + 64 * "0"
    task = {"entrypoint": "consilia_workers.tasks.heart_disease:HeartDisease", "image": image}
    hearts.apply(heart_job("imageless", task=task))
    status = hearts.until("imageless", lambda status: "Image" in status.get("summary", {}).get("state", ""), 90)
    assert image in condition(status, "Running")["message"]
    hearts.delete("imageless")
