"""Each hospital's part in a job, as the hub may know it: from its HospitalTask and from the aggregator. Pure.

What a hospital's programs wrote stays in the hospital: the hub repeats reasons, never their last words.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from consilia.progress import BUDGET_SPENT, JobProgress, PartProgress
from consilia_operator.conditions import condition, holds
from consilia_operator.names import child

Document = Mapping[str, Any]

TAKING_PART = frozenset({"Ready", "Training", "Sent", "Late", "Done"})
_LONGEST_MESSAGE = 1024
"""As the definition of FederatedJob has it."""
_PARTS = {"Ready": "Ready", "Training": "Training", "Sent": "Sent", "Late": "Late", "Left": "Dropped"}
_ORDINARY = frozenset(
    {"TrainerStarting", "TrainerRunning", "WaitingForApproval", "Finished", "Suspended", "OutsideHours"}
)
"""Reasons of a trainer that is on its way, not in trouble."""


def aggregator_of(job: Document) -> str:
    """The name of a job's aggregator."""
    return child(job["metadata"]["name"], "aggregator")


def rows(hospitals: Sequence[str], tasks: Mapping[str, Document], progress: JobProgress | None) -> list[dict[str, Any]]:
    """One row a hospital, in order."""
    parts = {each.name: each for each in progress.hospitals} if progress else {}
    done = progress is not None and progress.ending is not None
    return [_row(name, tasks.get(name), parts.get(name), done=done) for name in hospitals]


def _row(name: str, task: Document | None, part: PartProgress | None, *, done: bool) -> dict[str, Any]:
    state, message = _state(name, task, part, done=done)
    row: dict[str, Any] = {"name": name, "state": state, "message": shortened(message)}
    if part is not None and part.round is not None:
        row["round"] = part.round
    if task and (spent := task.get("status", {}).get("epsilonSpent")) and task["spec"].get("privacy"):
        row["epsilonSpent"] = spent
    return {key: value for key, value in row.items() if value != ""}


def shortened(message: str) -> str:
    """As long as a row's message may be: one that is too long would have the whole status refused."""
    return message if len(message) <= _LONGEST_MESSAGE else message[: _LONGEST_MESSAGE - 1] + "…"


def _state(name: str, task: Document | None, part: PartProgress | None, *, done: bool) -> tuple[str, str]:
    if _exhausted(task, part):
        return "Exhausted", f"{BUDGET_SPENT[0].upper()}{BUDGET_SPENT[1:]}."
    if task and (denied := _true(task.get("status", {}).get("conditions", ()), "Denied")):
        return "Denied", denied["message"]  # also in the middle of the job: to the aggregator it is only late
    if part and part.state in _PARTS:
        state = _PARTS[part.state]
        return ("Done" if done and state != "Dropped" else state), part.message
    return _of_task(name, task) if task else ("Offered", "It is being asked.")


def _of_task(name: str, task: Document) -> tuple[str, str]:
    """Where a hospital stands that the aggregator has not heard of."""
    conditions = task.get("status", {}).get("conditions", ())
    if not holds(conditions, "Approved"):
        approved = condition(conditions, "Approved")
        return "Offered", approved["message"] if approved else "It is being asked."
    admitted = condition(conditions, "Admitted")
    if admitted and admitted["status"] == "False" and admitted["reason"] not in _ORDINARY:
        return "Pending", f"{admitted['reason']}: the hospital sees why."
    return _trainer(name, task, condition(conditions, "Training"))


def _exhausted(task: Document | None, part: PartProgress | None) -> bool:
    """Whether the hospital has said so itself, or the aggregator says that it did."""
    if part and part.state == "Left":
        return part.message == BUDGET_SPENT
    done = condition(task.get("status", {}).get("conditions", ()), "Done") if task else None
    return done is not None and done["reason"] == "BudgetExhausted"


def _trainer(name: str, task: Document, training: Document | None) -> tuple[str, str]:
    if training and training["reason"] == "TrainerFailed":
        where = f"kubectl -n {name} describe hospitaltask {task['metadata']['name']}"
        return "Failed", f"Its trainer ended with an error; the hospital sees why: {where}"
    if training and training["reason"] not in _ORDINARY:
        return "Pending", f"{training['reason']}: {_public(training)}"
    return "Pending", "Its trainer is starting."


def _public(training: Document) -> str:
    """What the scheduler or the kubelet said; never what a program said."""
    return (
        "its program ends again and again; the hospital sees why."
        if training["reason"] == "Crashing"
        else str(training["message"])
    )


def _true(conditions: Iterable[Document], kind: str) -> Document | None:
    found = condition(conditions, kind)
    return found if found and found["status"] == "True" else None


def present(progress: JobProgress) -> int:
    """How many hospitals take part."""
    return sum(1 for each in progress.hospitals if each.state in _PARTS and each.state != "Left")


def waiting_for(hospitals: Sequence[str], tasks: Mapping[str, Document], progress: JobProgress | None) -> str:
    """Who is missing, and why, in words."""
    missing = [row for row in rows(hospitals, tasks, progress) if row["state"] not in TAKING_PART]
    return " ".join(f"{row['name']} is {row['state']}: {row.get('message', '')}".strip() for row in missing)


def commonest_reason(tasks: Mapping[str, Document]) -> str:
    """The reason that keeps most hospitals from training, if there is trouble."""
    found: Counter[str] = Counter()
    for task in tasks.values():
        conditions = task.get("status", {}).get("conditions", ())
        if not holds(conditions, "Approved"):
            approved = condition(conditions, "Denied" if holds(conditions, "Denied") else "Approved")
            found.update([approved["reason"]] if approved else [])
            continue
        found.update(_troubles(condition(conditions, "Admitted"), condition(conditions, "Training")))
    return found.most_common(1)[0][0] if found else ""


def _troubles(*found: Document | None) -> list[str]:
    """The first reason among these conditions that is no ordinary one."""
    bad = (each for each in found if each and each["status"] == "False")
    return [str(each["reason"]) for each in bad if each["reason"] not in _ORDINARY][:1]
