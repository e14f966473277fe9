"""An offer off the log as objects of the hospital's own cluster. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from consilia.api import FederatedJob
from consilia.errors import ConsiliaError, CorrespondenceError, Objection
from consilia.wire.correspondence import TASKS_AT_MOST, Offer, ReportedCondition, TaskReport
from consilia.wire.identity import Roster
from consilia_operator.conditions import holds, timestamp
from consilia_operator.correspondence.link import Link
from consilia_operator.manifests import offer as manifests
from consilia_operator.names import EXPIRES, HUB, SERIAL

Document = dict[str, Any]
KEPT_AT_MOST = 10 * TASKS_AT_MOST
"""Of one hub's HospitalTasks, those that are over included."""
_HOSPITALS_OWN = frozenset({"decision", "decisionMessage", "suspend"})
"""Fields of a HospitalTask's spec that may change."""


def parsed(letter: Offer, link: Link) -> manifests.Offer:
    """The offer, checked as far as it concerns what can be made of it.

    Raises:
        CorrespondenceError: it offers no job, or one that this hospital's key is not on the roster of.
    """
    try:
        job = FederatedJob.model_validate(letter.job)
        roster = Roster.parse(letter.roster)
        roster.require(link.identity)
    except (ValidationError, ConsiliaError) as error:
        raise CorrespondenceError(Objection.MALFORMED, f"the offer of job {letter.uid}: {_words(error)}") from None
    assert job.metadata.name
    return manifests.Offer(
        job=letter.job,
        hospital=link.hospital,
        roster=roster.as_json(),
        roster_digest=roster.digest(),
        withdrawn=letter.suspend,
    )


def _words(error: ValidationError | ConsiliaError) -> str:
    if isinstance(error, ConsiliaError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    newer = " Is the hub's version newer than the hospital's?" if first["type"] == "extra_forbidden" else ""
    return f"{where}: {first['msg']}.{newer}"


def task(offer: manifests.Offer, letter: Offer, link: Link) -> Document:
    """The HospitalTask, without what the hospital decides."""
    made = manifests.hospital_task(offer)
    until = timestamp(datetime.fromtimestamp(letter.expires, UTC))
    made["metadata"]["labels"] |= {HUB: link.hub}
    made["metadata"]["annotations"] = {SERIAL: str(letter.serial), EXPIRES: until}
    return made


def require_same(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """See that an offer that stands already is still the same.

    Raises:
        CorrespondenceError: it is not: what somebody approved is not what would run.
    """
    old, new = before["spec"], after["spec"]
    names = sorted((set(old) | set(new)) - _HOSPITALS_OWN)
    if changed := [name for name in names if name in new and new[name] != old.get(name)]:
        message = f"job {new['job']['uid']} is offered with another {', '.join(changed)} than before."
        raise CorrespondenceError(Objection.CHANGED, message)


def unusable(letter: Offer, error: ConsiliaError, now: datetime) -> TaskReport:
    """What the hub is told of an offer that nothing could be made of."""
    condition = ReportedCondition(
        type="Denied", status="True", reason="Invalid", message=str(error)[:512], last_transition_time=timestamp(now)
    )
    return TaskReport(uid=letter.uid, conditions=(condition,), state="Denied")


def not_taken(letter: Offer, now: datetime) -> TaskReport:
    """What the hub is told of an offer that the hospital's API server does not take now; why is the hospital's own."""
    message = f"The cluster of {letter.hospital} does not take the offer now; it is tried again. Ask somebody there."
    condition = ReportedCondition(
        type="Approved", status="False", reason="NotTaken", message=message, last_transition_time=timestamp(now)
    )
    return TaskReport(uid=letter.uid, conditions=(condition,), state="NotTaken", message=message)


def is_over(task: Mapping[str, Any]) -> bool:
    """Whether nothing more comes of it."""
    conditions = task.get("status", {}).get("conditions", ())
    return holds(conditions, "Done") or holds(conditions, "Denied")


def require_room(tasks: Sequence[Document], waiting: set[str], letter: Offer) -> None:
    """See that a hub does not fill the hospital's cluster with offers; those that `waiting` for have no task yet.

    Raises:
        CorrespondenceError: as many as the hospital reports on stand already, or there are many times more in all.
    """
    open_ = {str(each["spec"]["job"]["uid"]) for each in tasks if not is_over(each)} | waiting - {letter.uid}
    if len(open_) >= TASKS_AT_MOST or len(tasks) >= KEPT_AT_MOST:
        message = f"job {letter.uid} is offered beside {len(open_)} that are open and {len(tasks)} in all. "
        raise CorrespondenceError(Objection.TOO_MANY, message + "The hub has to end or delete some jobs first.")
