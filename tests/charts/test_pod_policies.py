"""What a hospital's cluster refuses of pods, its own operator's included, tried on a real API server."""

import time

import pytest
from bare_api_server import bare_api_server
from hospital_chart import DIGEST, render
from people import People, administer, role

pytestmark = pytest.mark.slow  # starting the API server may take long on a busy machine

IMAGE = f"registry.example/worker@{DIGEST}"
JOBS = "system:serviceaccount:kube-system:job-controller"
OPERATOR = "system:serviceaccount:riverside:consilia-hospital-operator"
PODS = "/api/v1/namespaces/riverside/pods?dryRun=All"
OURS = {"app.kubernetes.io/managed-by": "consilia-operator"}
KINDS = {
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with bare_api_server(tmp_path_factory.mktemp("pods")) as server:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "riverside"}}
        administer(server, "/api/v1/namespaces", namespace)
        for kind, plural in KINDS.items():
            for each in render({"admission": {"claims": ["records", "images"]}}):
                if each["kind"] == kind:
                    administer(server, f"/apis/admissionregistration.k8s.io/v1/{plural}", each)
        rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}
        role(server, "pods", [rule], "somebody", OPERATOR, JOBS)
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        server.ask("POST", "/api/v1/namespaces/riverside/serviceaccounts", account)
        people = People(server)
        end = time.monotonic() + 60
        while people.ask("somebody", "POST", PODS, pod(claims=["records"]))[0] != 403:
            assert time.monotonic() < end, "the policies are not in force"
            time.sleep(0.2)
        yield people


def pod(*, claims=(), image=IMAGE, labels=None, owner=None, **spec):
    volumes = [{"name": f"v{n}", "persistentVolumeClaim": {"claimName": each}} for n, each in enumerate(claims)]
    metadata = {"name": "probe", "labels": labels or {}}
    if owner:
        reference = {
            "apiVersion": "batch/v1",
            "kind": owner,
            "name": "x",
            "uid": "00000000-0000-4000-8000-000000000000",
        }
        metadata["ownerReferences"] = [reference]
    containers = [{"name": "main", "image": image}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"automountServiceAccountToken": False, "containers": containers, "volumes": volumes} | spec,
    }


TRAINER = {"labels": OURS, "owner": "Job"}


@pytest.mark.parametrize(
    ("who", "asked", "words"),
    [
        (JOBS, pod(claims=["records"], **TRAINER), ""),
        ("somebody", pod(claims=["scratch"]), ""),
        ("somebody", pod(image="busybox:latest"), ""),
        ("somebody", pod(claims=["records"]), "by nobody else"),
        ("somebody", pod(claims=["scratch", "images"]), "by nobody else"),
        ("somebody", pod(claims=["records"], **TRAINER), "by nobody else"),
        (OPERATOR, pod(claims=["records"], labels=OURS), "by nobody else"),
        (OPERATOR, pod(claims=["records"], **TRAINER), "by nobody else"),
        (JOBS, pod(claims=["records"], owner="Job"), "by nobody else"),
        (JOBS, pod(claims=["records"], labels=OURS), "by nobody else"),
        (JOBS, pod(claims=["records"], image="registry.example/worker:latest", **TRAINER), "by their digests"),
        (JOBS, pod(**TRAINER, initContainers=[{"name": "first", "image": "busybox"}]), "by their digests"),
        (JOBS, pod(**TRAINER, automountServiceAccountToken=True), "no token"),
    ],
)
def test_data_is_mounted_by_trainers_alone_whose_images_nobody_can_exchange(cluster, who, asked, words):
    status, answer = cluster.ask(who, "POST", PODS, asked)
    assert status == (403 if words else 201), answer
    assert words in answer.get("message", "")
