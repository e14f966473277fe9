"""Whether a job can be run at all, and with which hospitals. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from consilia.api import FederatedJob
from consilia.api.support import unsupported
from consilia.api.task_spec import HOSPITALS_AT_MOST
from consilia_operator.conditions import Finding, condition, holds, in_words, moment

Document = Mapping[str, Any]

GRACE = timedelta(seconds=60)
"""How long a job waits for all its hospitals to join the hub before it goes on with enough of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What was found."""

    accepted: Finding
    hospitals: tuple[str, ...] = ()
    """The roster, in order; empty unless accepted."""
    final: bool = False
    """It can never be accepted as it is."""
    again: float | None = None
    """Look again after so many seconds."""

    @property
    def yes(self) -> bool:
        """Whether the job may be run."""
        return self.accepted.holds is True


def parse(job: Document) -> FederatedJob | Admission:
    """The job as a typed object, or why it is none."""
    try:
        parsed = FederatedJob.model_validate({name: value for name, value in job.items() if name != "status"})
    except ValidationError as error:
        words = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:4])
        message = f"The spec is not valid: {words}. Create the job anew, corrected."
        return Admission(accepted=Finding("Accepted", False, "Invalid", message), final=True)
    if problems := unsupported(parsed, "Cluster"):
        reason = "PodTemplateRefused" if all("podTemplate" in each.path for each in problems) else "NotSupported"
        return Admission(accepted=Finding("Accepted", False, reason, in_words(problems)), final=True)
    return parsed


def admit(job: FederatedJob, hospitals: Sequence[Document], now: datetime) -> Admission:
    """With the hospitals that have joined, once they are all there, or enough of them and the grace is over."""
    wanted, known = _wanted(job, hospitals), {each["metadata"]["name"]: each for each in hospitals}
    missing = [name for name in wanted if name not in known]
    away = [name for name in wanted if name in known and not _joined(known[name])]
    joined = tuple(name for name in wanted if name not in missing and name not in away)
    if len(joined) > HOSPITALS_AT_MOST:
        message = f"{len(joined)} hospitals have the labels; a job can have {HOSPITALS_AT_MOST}. Choose fewer of them."
        return Admission(accepted=Finding("Accepted", False, "TooManyHospitals", message))
    needed = job.spec.hospitals.min_ready
    left = (moment(job.metadata.creation_timestamp or "") + GRACE - now).total_seconds()
    if len(joined) >= needed and (not (missing or away) or left <= 0):
        message = f"{len(joined)} hospitals are on the roster: {', '.join(joined)}."
        return Admission(accepted=Finding("Accepted", True, "Valid", message), hospitals=tuple(sorted(joined)))
    reason, message = _why_not(job, missing, [known[name] for name in away], len(joined))
    return Admission(accepted=Finding("Accepted", False, reason, message), again=max(left, 1.0) if left > 0 else None)


def _wanted(job: FederatedJob, hospitals: Iterable[Document]) -> list[str]:
    asked = job.spec.hospitals
    if asked.names is not None:
        return list(asked.names)
    assert asked.selector is not None
    labels = asked.selector.match_labels.items()
    return sorted(
        each["metadata"]["name"] for each in hospitals if labels <= each["metadata"].get("labels", {}).items()
    )


def _joined(hospital: Document) -> bool:
    accepted = hospital.get("spec", {}).get("accepted", False)
    return accepted and holds(hospital.get("status", {}).get("conditions", ()), "Joined")


def _why_not(job: FederatedJob, missing: Sequence[str], away: Sequence[Document], joined: int) -> tuple[str, str]:
    needed, namespace = job.spec.hospitals.min_ready, job.metadata.namespace
    told = [f"{each['metadata']['name']}: {_excuse(each, namespace)}" for each in away]
    if missing:
        told.append(f"there is no Hospital {', '.join(missing)} in {namespace}: kubectl apply one for each")
    if not told:
        told = ["no more Hospitals have the labels that hospitals.selector asks for"]
    reason = "HospitalsNotJoined" if away and not missing else "HospitalsMissing"
    return reason, f"{joined} of the {needed} hospitals needed have joined. {'; '.join(told)}."


def _excuse(hospital: Document, namespace: str | None) -> str:
    if not hospital.get("spec", {}).get("accepted", False):
        name = hospital["metadata"]["name"]
        patch = '{"spec":{"accepted":true}}'
        return f"not accepted; kubectl -n {namespace} patch hospital {name} --type=merge -p '{patch}'"
    found = condition(hospital.get("status", {}).get("conditions", ()), "Joined")
    return str(found["message"]).rstrip(".") if found else "not looked at yet"
