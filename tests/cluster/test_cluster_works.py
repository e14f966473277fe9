"""What the product asks of a cluster, asked of the one that the tests run on."""

import json

import pytest

from tests.cluster.images import PROBE

pytestmark = pytest.mark.slow


def pod(name, *arguments, limits=None, volumes=(), mounts=()):
    """A pod that runs the probe, as restricted as ours are."""
    container = {
        "name": "probe",
        "image": PROBE,
        "imagePullPolicy": "Never",
        "args": list(arguments),
        "resources": {"limits": limits or {}},
        "volumeMounts": list(mounts),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    spec = {"restartPolicy": "Never", "containers": [container], "volumes": list(volumes), "enableServiceLinks": False}
    if volumes:
        spec["securityContext"] = {"fsGroup": 65532}
    metadata = {"name": name, "labels": {"app": name}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {**spec, "terminationGracePeriodSeconds": 1},
    }


@pytest.fixture
def said(real_cluster, namespace):
    """What a pod of these arguments says until its end."""

    def run(name, *arguments, **spec):
        real_cluster.apply(pod(name, *arguments, **spec), namespace=namespace)
        real_cluster.wait(f"pod/{name}", "jsonpath={.status.phase}=Succeeded", namespace)
        return real_cluster.kubectl("logs", name, "--namespace", namespace).strip()

    return run


@pytest.fixture
def serving(real_cluster, namespace):
    """A Service with a pod behind it that answers with its own name."""
    ports = [{"port": 80, "targetPort": 8080}]
    service = {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": ports}}
    real_cluster.apply(
        {"apiVersion": "v1", "kind": "Service", **service}, pod("web", "serve", ":8080"), namespace=namespace
    )
    real_cluster.wait("pod/web", "condition=Ready", namespace)
    return f"web.{namespace}.svc.cluster.local"


def test_the_api_server_says_that_it_is_ready(real_cluster):
    assert real_cluster.kubectl("get", "--raw=/readyz") == "ok"


def test_there_are_at_least_four_gpus(real_cluster):
    nodes = real_cluster.get("nodes")["items"]
    assert sum(int(node["status"]["allocatable"].get("nvidia.com/gpu", 0)) for node in nodes) >= 4


def test_names_resolve_in_a_pod_and_lead_through_the_service_to_another(said, serving):
    assert said("client", "get", f"http://{serving}/") == "web"


def test_a_pod_gets_the_gpu_that_it_asks_for(said):
    assert said("gpu", "env", "NVIDIA_VISIBLE_DEVICES", limits={"nvidia.com/gpu": 1}).startswith("GPU-")


def test_a_pod_that_asks_for_more_gpus_than_there_are_waits(real_cluster, namespace):
    real_cluster.apply(pod("greedy", "wait", limits={"nvidia.com/gpu": 1000}), namespace=namespace)
    real_cluster.wait(
        "pod/greedy", "jsonpath={.status.conditions[?(@.type=='PodScheduled')].reason}=Unschedulable", namespace
    )


def test_a_volume_outlives_the_pod_that_wrote_to_it(real_cluster, namespace, said):
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}}
    metadata = {"name": "data"}
    real_cluster.apply(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim}, namespace=namespace
    )
    volume = {
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        "mounts": [{"name": "data", "mountPath": "/data"}],
    }
    said("writer", "write", "/data/word", "still here", **volume)
    real_cluster.kubectl("delete", "pod", "writer", "--namespace", namespace)
    assert said("reader", "read", "/data/word", **volume) == "still here"


def test_a_job_completes(real_cluster, namespace):
    template = {"spec": pod("task", "exit", "0")["spec"]}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "task"}, "spec": {"template": template}}
    real_cluster.apply(job, namespace=namespace)
    real_cluster.wait("job/task", "condition=Complete", namespace)


def test_helm_talks_to_this_cluster(real_cluster, namespace):
    assert json.loads(real_cluster.helm("list", "--namespace", namespace, "--output", "json")) == []
