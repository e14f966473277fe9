"""Whether a hospital lets a job train on its data: the Dataset's rule, and what somebody there decided. Pure."""

from dataclasses import dataclass
from typing import Literal

from consilia.api import Dataset, HospitalTask

Verdict = Literal["Approved", "Undecided", "Denied"]


@dataclass(frozen=True, slots=True)
class Approval:
    """What was found, and why."""

    verdict: Verdict
    reason: str
    message: str


def judge(task: HospitalTask, dataset: Dataset) -> Approval:
    """Approved by a person or by the Dataset's rule, denied by a person, or not decided yet.

    A person's word, `spec.decision`, goes before the rule. What the rule does not list is left to a person, not denied.
    """
    match task.spec.decision:
        case "Approved":
            return Approval("Approved", "ApprovedByHospital", "Somebody at the hospital approved it.")
        case "Denied":
            return Approval("Denied", "DeniedByHospital", "Somebody at the hospital denied it.")
    if dataset.spec.approval.mode == "Manual":
        return Approval("Undecided", "WaitingForApproval", f"Dataset {dataset.metadata.name} wants {_by_hand(task)}")
    if unlisted := _unlisted(task, dataset):
        message = f"Dataset {dataset.metadata.name} approves by itself, but not {unlisted}: it wants {_by_hand(task)}"
        return Approval("Undecided", "NotOnTheList", message)
    return Approval("Approved", "ApprovedByRule", f"Dataset {dataset.metadata.name} lists it under approval.")


def _unlisted(task: HospitalTask, dataset: Dataset) -> str:
    rule, asked = dataset.spec.approval, task.spec.task
    if rule.images and asked.image not in rule.images:
        return f"the image {asked.image or 'of this installation'}"
    if rule.tasks and asked.entrypoint not in rule.tasks:
        return f"the task {asked.entrypoint}"
    external = task.spec.transport.external if task.spec.transport else None
    if external and (strange := [each for each in external.bootstrap_servers if each not in rule.logs]):
        return f"updates by way of {', '.join(strange)}"
    return ""


def _by_hand(task: HospitalTask) -> str:
    where = f"-n {task.metadata.namespace} " if task.metadata.namespace else ""
    patch = '{"spec":{"decision":"Approved"}}'
    return (
        f"somebody to decide: kubectl {where}patch hospitaltask {task.metadata.name} --type=merge -p '{patch}' "
        "(or Denied)."
    )
