"""Whether a hospital lets a job train on its data: the Dataset's rule, and what somebody there decided. Pure."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from consilia.api import Dataset, HospitalTask
from consilia.api.dataset import TrainingHours
from consilia.errors import ManifestError

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
        case "Suspended":
            return Approval("Undecided", "SuspendedByHospital", _said(task, "suspended"))
        case "Denied":
            return Approval("Denied", "DeniedByHospital", _said(task, "denied"))
    if dataset.spec.approval.mode == "Manual":
        return Approval("Undecided", "WaitingForApproval", f"Dataset {dataset.metadata.name} wants {_by_hand(task)}")
    if unlisted := _unlisted(task, dataset):
        message = f"Dataset {dataset.metadata.name} approves by itself, but not {unlisted}: it wants {_by_hand(task)}"
        return Approval("Undecided", "NotOnTheList", message)
    return Approval("Approved", "ApprovedByRule", f"Dataset {dataset.metadata.name} lists it under approval.")


def _said(task: HospitalTask, what: str) -> str:
    """What the hospital lets the hub know of its decision."""
    words = task.spec.decision_message
    return f"Somebody at the hospital {what} it{': ' + words if words else '.'}"


def closed(hours: TrainingHours, now: datetime) -> timedelta | None:
    """How long jobs must wait until they may train; None if they may now.

    Raises:
        ManifestError: nobody knows the time zone.
    """
    try:
        here = now.astimezone(ZoneInfo(hours.time_zone))
    except (ZoneInfoNotFoundError, ValueError):
        message = f"approval.hours.timeZone: {hours.time_zone!r} is no time zone."
        raise ManifestError(message, remedy="Write one as in Europe/Zurich, or UTC.") from None
    begin, end = time.fromisoformat(hours.begin), time.fromisoformat(hours.end)
    at = here.time()
    if begin <= at < end if begin < end else at >= begin or at < end:
        return None
    today = datetime.combine(here.date(), begin, here.tzinfo)
    return (today if today > here else datetime.combine(here.date() + timedelta(days=1), begin, here.tzinfo)) - here


def _unlisted(task: HospitalTask, dataset: Dataset) -> str:
    rule, asked = dataset.spec.approval, task.spec.task
    if rule.images and asked.image not in rule.images:
        return f"the image {asked.image or 'of this installation'}"
    if rule.tasks and asked.entrypoint not in rule.tasks:
        return f"the task {asked.entrypoint}"
    if rule.max_gpus is not None and task.spec.gpu > rule.max_gpus:
        return f"{task.spec.gpu} GPUs"
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
