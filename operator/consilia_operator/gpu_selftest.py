"""`helm test` where a hospital has GPUs: a pod that asks for some as a trainer does, and what PyTorch sees there."""

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from consilia_operator import pods
from consilia_operator.conditions import condition
from consilia_operator.kinds import JOB
from consilia_operator.manifests import pod
from consilia_operator.manifests.trainer import with_gpus
from consilia_operator.selftest import Ask
from consilia_operator.settings import OperatorSettings

Document = Mapping[str, Any]
_PAUSE = 1.0
_LONGER = 60
"""The Job ends by itself, should nobody be there any more to delete it, so many seconds after it was waited for."""
_NOBODY_OFFERS = re.compile(r"preemption: .*not helpful", re.IGNORECASE)
_OTHERS_HAVE = re.compile(r"preemption: .*No preemption victims", re.IGNORECASE)
"""What the scheduler says besides, of a pod that no node could ever take, and of one that others are in the way of."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of it."""

    well: bool
    said: str


def look(namespace: str, told: OperatorSettings, ask: Ask) -> Looked:
    """Have the pod started, and wait until it has said what it sees; then it goes."""
    jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    name = ask(jobs, document(namespace, told))["metadata"]["name"]
    chosen = f"/api/v1/namespaces/{namespace}/pods?labelSelector=batch.kubernetes.io%2Fjob-name%3D{name}"
    deadline = time.monotonic() + told.gpu_test.seconds
    try:
        while True:
            found = ask(chosen, None)["items"]
            if found and (looked := ended(found[0])):
                return looked
            if time.monotonic() > deadline:
                return Looked(False, late(found[0] if found else {}, told))
            time.sleep(_PAUSE)
    finally:
        with suppress(OSError):
            ask(f"{jobs}/{name}?propagationPolicy=Background", None, method="DELETE")


def document(namespace: str, told: OperatorSettings) -> dict[str, Any]:
    """The Job: its pod is a trainer's but for what it runs, without data, keys, token or anybody to talk to. Pure."""
    asked, name = told.gpu_test, "gpu-test"
    program = pod.Program(
        name=name,
        image=told.images.worker,
        arguments=(str(asked.gpus),),
        resources=with_gpus(told.sizes.trainer, asked.gpus),
        mounts=(pod.scratch("tmp", "/tmp"),),  # noqa: S108 (an emptyDir of this pod's own)
        probed=False,
        port=None,
    )
    spec = pod.spec(program, told, restart="Never")
    spec["containers"][0]["command"] = ["python", "-m", "consilia_workers.gpu_check"]
    spec |= {"runtimeClassName": asked.runtime_class_name} if asked.runtime_class_name else {}
    spec |= {"nodeSelector": asked.node_selector, "tolerations": list(asked.tolerations)}
    labels = {"app.kubernetes.io/name": "consilia", "app.kubernetes.io/component": name}
    return {
        "apiVersion": JOB.api_version,
        "kind": JOB.kind,
        "metadata": {"generateName": f"consilia-{name}-", "namespace": namespace, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": asked.seconds + _LONGER,
            "ttlSecondsAfterFinished": _LONGER,
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def ended(found: Document) -> Looked | None:
    """What the pod said at its end; None before it. Pure."""
    for container in found.get("status", {}).get("containerStatuses", ()):
        if end := container.get("state", {}).get("terminated"):
            well, said = end["exitCode"] == 0, end.get("message", "").strip()
            return Looked(well, said or f"the pod that looks for GPUs said nothing. {pods.last_words(container)}")
    return None


def late(found: Document, told: OperatorSettings) -> str:
    """Why there is still no answer. Pure."""
    gpus, waited = told.gpu_test.gpus, f"after {told.gpu_test.seconds} s"
    trouble = pods.trouble(found) if found else None
    if trouble is None:
        return (
            f"the pod that looks for GPUs has not answered {waited}: its image may still be on its way. Set "
            "operator.gpuTest.seconds higher, and try again."
        )
    if trouble.reason != "NoGpuFree":
        return f"the pod that looks for GPUs does not run {waited}. {trouble.message}"
    scheduled = condition(found["status"].get("conditions", ()), "PodScheduled") or {}
    scheduler = scheduled.get("message", "")
    if _NOBODY_OFFERS.search(scheduler):
        why = "no node offers so many: see whether the device plugin runs (kubectl get nodes -o yaml, `allocatable`)"
    elif _OTHERS_HAVE.search(scheduler):
        why = "nodes offer them, and other pods have them: wait for these, and try again"
    else:
        why = "no node offers so many, or other pods have them"
    return f"{gpus} nvidia.com/gpu cannot be had, {waited}: {why}. Scheduler: {scheduler}"
