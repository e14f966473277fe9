"""`helm test` where a hospital says that it has GPUs: what is asked for, and what is said of what comes back."""

import os
import subprocess
import sys

import pytest

from consilia_operator.gpu_selftest import Looked, document, ended, late, look
from consilia_operator.settings import OperatorSettings
from consilia_workers.gpu_check import look as look_here

LACKING = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
NONE = f"{LACKING} preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
TAKEN = f"{LACKING} preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod."


def told(**asked):
    values = {"images": {"worker": "registry.example/worker:1", "kafka": "none"}, "hospital": "riverside"}
    return OperatorSettings.model_validate(values | {"gpuTest": {"gpus": 2, "seconds": 5, **asked}})


def unscheduled(message):
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"status": {"phase": "Pending", "conditions": [said]}}


def waiting(reason):
    container = {"image": "registry.example/worker:1", "state": {"waiting": {"reason": reason}}}
    return {"status": {"phase": "Pending", "containerStatuses": [container]}}


def test_its_pod_is_a_trainers_without_anything_to_give_away():
    asked = {"runtimeClassName": "nvidia", "nodeSelector": {"gpu": "yes"}, "tolerations": [{"operator": "Exists"}]}
    made = document("riverside", told(**asked))
    spec = made["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["image"] == "registry.example/worker:1"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert container["command"] + container["args"] == ["python", "-m", "consilia_workers.gpu_check", "2"]
    assert spec["automountServiceAccountToken"] is False
    assert [list(volume) for volume in spec["volumes"]] == [["name", "emptyDir"]]
    assert {key: spec[key] for key in asked} == asked
    assert "app.kubernetes.io/managed-by" not in made["spec"]["template"]["metadata"]["labels"]


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        (unscheduled(NONE), "no node offers so many"),
        (unscheduled(TAKEN), "other pods have them: wait"),
        (unscheduled(LACKING), "no node offers so many, or other pods have them."),
        (unscheduled("0/1 nodes are available: 1 Insufficient memory."), "Insufficient memory"),
        (waiting("ImagePullBackOff"), "registry.example/worker:1 cannot be pulled"),
        (waiting("ContainerCreating"), "its image may still be on its way"),
        ({}, "has not answered after 5 s"),
    ],
)
def test_a_pod_that_does_not_answer_is_explained(pod, words):
    assert words in late(pod, told())
    assert ended(pod) is None


@pytest.mark.parametrize(("code", "well"), [(0, True), (1, False)])
def test_what_the_pod_says_at_its_end_is_passed_on(code, well):
    end = {"exitCode": code, "message": "PyTorch says so.\n"}
    pod = {"status": {"containerStatuses": [{"state": {"terminated": end}}]}}
    assert ended(pod) == Looked(well, "PyTorch says so.")


def test_a_pod_that_said_nothing_is_not_taken_for_well():
    end = {"exitCode": 137, "reason": "OOMKilled"}
    pod = {"status": {"containerStatuses": [{"state": {"terminated": end}}]}}
    looked = ended(pod)
    assert looked
    assert not looked.well
    assert "said nothing. It ended last with ran out of memory" in looked.said


@pytest.mark.parametrize("refuses", [False, True])
def test_whatever_comes_of_it_the_job_is_deleted(refuses):
    asked = []

    def ask(path, body, *, method=None):
        asked.append((method, path.partition("?")[0]))
        if method == "DELETE":
            return {}
        if body:
            return {"metadata": {"name": "consilia-gpu-test-abcde"}}
        if refuses:
            raise ConnectionResetError
        end = {"exitCode": 0, "message": "all of them"}
        return {"items": [{"status": {"containerStatuses": [{"state": {"terminated": end}}]}}]}

    if refuses:
        with pytest.raises(ConnectionResetError):
            look("riverside", told(), ask)
    else:
        assert look("riverside", told(), ask) == Looked(True, "all of them")
    assert asked[-1] == ("DELETE", "/apis/batch/v1/namespaces/riverside/jobs/consilia-gpu-test-abcde")


def test_the_program_says_what_it_sees_here_whatever_that_is():
    import torch

    wanted = torch.cuda.device_count() + 1
    well, said = look_here(wanted)
    assert (well, f"of {wanted} GPUs" in said) == (False, True)
    if wanted > 1:
        assert look_here(wanted - 1)[0]


def test_the_program_ends_with_1_where_there_is_none():
    command = [sys.executable, "-m", "consilia_workers.gpu_check", "1"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "NVIDIA_VISIBLE_DEVICES": "GPU-fake-0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "PyTorch sees 0 of 1 GPUs: " in done.stdout
