"""Why a pod does not run, from what Kubernetes says of it: a reason for programs, a sentence and a way out. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

Document = Mapping[str, Any]
D = TypeVar("D", bound=Document)
GPU = re.compile(r"Insufficient (nvidia\.com/[\w.-]*\w|[\w./-]*gpu(?:[\w./-]*\w)?)")
_IMAGE = {
    "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError",
    "RegistryUnavailable", "SignatureValidationFailed",
}  # fmt: skip
_CONFIG = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_LONGEST_EXCUSE = 300


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps a pod from running."""

    reason: str
    message: str
    lasting: bool
    """Waiting will not help: somebody must change something."""


def trouble(pod: Document) -> Trouble | None:
    """What keeps the pod from running, if anything does."""
    status = pod.get("status", {})
    if status.get("phase") in {"Succeeded", "Failed"}:
        return None
    if unscheduled := _unscheduled(status):
        return unscheduled
    for container in _containers(status):
        waiting = container.get("state", {}).get("waiting")
        if waiting and (found := _waiting(container, waiting)):
            return found
    return None


def _unscheduled(status: Document) -> Trouble | None:
    for each in status.get("conditions", ()):
        if each["type"] == "PodScheduled" and each["status"] == "False":
            said = each.get("message", "")
            if each.get("reason") == "SchedulingGated":
                return Trouble("Queued", "The pod waits for its queue to admit it.", lasting=False)
            if lacking := GPU.search(said):
                message = f"No node has the {lacking[1]} it asks for free. Wait, lower resources.gpu, or add nodes."
                return Trouble("NoGpuFree", f"{message} Scheduler: {_short(said)}", lasting=False)
            return Trouble("Unschedulable", f"No node takes the pod. Scheduler: {_short(said)}", lasting=False)
    return None


def _waiting(container: Document, waiting: Document) -> Trouble | None:
    reason, said = waiting.get("reason", ""), _short(waiting.get("message", ""))
    if reason in _IMAGE:
        image = container.get("image", "?")
        message = f"The image {image} cannot be pulled ({reason}). Correct its name or the pull secret. {said}"
        return Trouble("ImageNotPulled", message.strip(), lasting=True)
    if reason in _CONFIG:
        message = f"The container cannot be started ({reason}). {said}"
        return Trouble("BadConfiguration", message.strip(), lasting=True)
    if reason == "CrashLoopBackOff":
        return Trouble("Crashing", f"The program ends again and again. {last_words(container)}".strip(), lasting=True)
    return None


def last_words(container: Document) -> str:
    """How the container ended the last time, and the end of what it wrote."""
    ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated")
    if not ended:
        return ""
    how = "ran out of memory" if ended.get("reason") == "OOMKilled" else f"exit code {ended.get('exitCode')}"
    said = ended.get("message", "").strip()
    return f"It ended last with {how}: {_short(said, end=True)}" if said else f"It ended last with {how}."


def exit_code(container: Document) -> int | None:
    """With what it ended, if it did."""
    ended = container.get("state", {}).get("terminated")
    return int(ended["exitCode"]) if ended else None


def restarts(pod: Document) -> int:
    """How often its containers were started again."""
    return sum(each.get("restartCount", 0) for each in _containers(pod.get("status", {})))


def ready(pod: Document) -> bool:
    """Whether it is Ready and not about to go."""
    if pod["metadata"].get("deletionTimestamp"):
        return False
    return any(
        each["type"] == "Ready" and each["status"] == "True" for each in pod.get("status", {}).get("conditions", ())
    )


def runs(pod: Document) -> bool:
    """Whether its containers are running at this moment."""
    states = [each.get("state", {}) for each in pod.get("status", {}).get("containerStatuses", ())]
    return bool(states) and all("running" in state for state in states)


def newest(pods: Sequence[D]) -> D | None:
    """The one that was made last among those that are not about to go, or else among all."""
    staying = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")] or list(pods)
    return max(staying, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]), default=None)


def _containers(status: Document) -> list[Document]:
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]


def _short(text: str, *, end: bool = False) -> str:
    text = " ".join(text.split())
    if len(text) <= _LONGEST_EXCUSE:
        return text
    return "…" + text[-_LONGEST_EXCUSE:] if end else text[:_LONGEST_EXCUSE] + "…"
