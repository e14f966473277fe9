"""What scheduler and kubelet really say of pods that do not run (Kubernetes 1.36), and what becomes of it."""

import pytest
from observed import after, pod

from consilia_operator import pods
from consilia_operator.conditions import timestamp


def unscheduled(message, reason="Unschedulable"):
    return pod(
        phase="Pending",
        conditions=[{"type": "PodScheduled", "status": "False", "reason": reason, "message": message}],
    )


def waiting(reason, message="", **container):
    state = {"name": "trainer", "image": "example/task:1", "state": {"waiting": {"reason": reason, "message": message}}}
    return pod(phase="Pending", containerStatuses=[state | container])


OOM = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
ERROR = {"terminated": {"reason": "Error", "exitCode": 1, "message": "Traceback\n  ValueError: no such column: age\n"}}
PREEMPTION = "preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod."

TROUBLES = (
    (
        unscheduled(f"0/2 nodes are available: 2 Insufficient nvidia.com/gpu. no new claims, {PREEMPTION}"),
        "NoGpuFree", False, "No node has the nvidia.com/gpu it asks for free.",
    ),
    (
        unscheduled("0/2 nodes are available: 1 Insufficient cpu, 2 Insufficient nvidia.com/mig-1g.5gb. " + PREEMPTION),
        "NoGpuFree", False, "the nvidia.com/mig-1g.5gb it",
    ),
    (unscheduled("0/1 nodes are available: 1 Insufficient amd.com/gpu, 1 Insufficient memory."), "NoGpuFree", False,
     "the amd.com/gpu it"),
    (
        unscheduled(f"0/2 nodes are available: 2 Insufficient memory. {PREEMPTION}"),
        "Unschedulable", False, "2 Insufficient memory",
    ),
    (
        unscheduled("0/1 nodes are available: 1 node(s) had untolerated taint(s)."),
        "Unschedulable", False, "untolerated taint",
    ),
    (
        unscheduled("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."),
        "Unschedulable", False, "unbound immediate PersistentVolumeClaims",
    ),
    (unscheduled("", "SchedulingGated"), "Queued", False, "waits for its queue"),
    (
        waiting("ImagePullBackOff", 'Back-off pulling image "example/task:1": ErrImagePull: not found'),
        "ImageNotPulled", True, "The image example/task:1 cannot be pulled",
    ),
    (waiting("ErrImageNeverPull", "Container image is not present"), "ImageNotPulled", True, "not present"),
    (waiting("InvalidImageName", "couldn't parse image name"), "ImageNotPulled", True, "Correct its name"),
    (waiting("SignatureValidationFailed", "image pull failed"), "ImageNotPulled", True, "SignatureValidationFailed"),
    (
        waiting("CreateContainerConfigError", 'secret "consilia-identity" not found'),
        "BadConfiguration", True, 'secret "consilia-identity" not found',
    ),
    (
        waiting("RunContainerError", 'exec: "consilia": executable file not found in $PATH'),
        "BadConfiguration", True, "executable file not found",
    ),
    (waiting("CrashLoopBackOff", "back-off 40s", lastState=OOM), "Crashing", True, "ran out of memory"),
    (waiting("CrashLoopBackOff", "back-off 5m0s", lastState=ERROR), "Crashing", True, "no such column: age"),
)  # fmt: skip


@pytest.mark.parametrize(("found", "reason", "lasting", "told"), TROUBLES)
def test_a_pod_in_trouble_says_why_and_what_to_do(found, reason, lasting, told):
    trouble = pods.trouble(found)
    assert (trouble.reason, trouble.lasting) == (reason, lasting)
    assert told in trouble.message
    assert len(trouble.message) < 700


@pytest.mark.parametrize(
    "fine",
    [
        pod(),
        pod(phase="Pending"),
        waiting("ContainerCreating"),
        waiting("PodInitializing"),
        pod(phase="Running", containerStatuses=[{"state": {"running": {}}, "lastState": ERROR}]),
        pod(phase="Failed", containerStatuses=[{"state": ERROR}]),
        pod(phase="Succeeded"),
    ],
)
def test_a_pod_on_its_way_or_at_its_end_is_in_no_trouble(fine):
    assert pods.trouble(fine) is None


def test_the_words_are_those_of_the_last_end():
    again = {"state": OOM, "lastState": ERROR}
    assert pods.last_words(again) == "It ended last with ran out of memory."
    assert pods.last_words({"state": {"running": {}}}) == ""


def test_the_newest_pod_is_one_that_stays():
    old, new, going = pod(), pod(), pod()
    new["metadata"] |= {"name": "new", "creationTimestamp": timestamp(after(1))}
    going["metadata"] |= {"creationTimestamp": timestamp(after(2)), "deletionTimestamp": timestamp(after(3))}
    assert pods.newest([new, going, old]) is new
    assert pods.newest([going]) is going
    assert pods.newest([]) is None


def test_a_pod_that_is_about_to_go_is_not_ready():
    ready = pod(conditions=[{"type": "Ready", "status": "True"}])
    assert pods.ready(ready)
    ready["metadata"]["deletionTimestamp"] = timestamp(after(1))
    assert not pods.ready(ready)
