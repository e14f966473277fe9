"""Objects as the API server shows them, with what it adds; and a clock that tests can turn."""

from datetime import UTC, datetime, timedelta
from typing import Any

from api_documents import document

from consilia.api import FederatedJob
from consilia.progress import JobProgress
from consilia_operator.conditions import timestamp

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
"""When everything was made."""


def after(seconds: float) -> datetime:
    """So long after noon."""
    return NOON + timedelta(seconds=seconds)


def shown(kind: str, changes: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """A document of ours as it comes from the API server."""
    found = document(kind, changes)
    found["metadata"] = {
        "namespace": "hub", "uid": f"uid-of-{found['metadata']['name']}", "generation": 1, "resourceVersion": "7",
        "creationTimestamp": timestamp(NOON), **found["metadata"], **metadata,
    }  # fmt: skip
    return found


def conditions(**statuses: tuple[str, str] | str) -> list[dict[str, Any]]:
    """Conditions by type: a status, or a status and a reason."""
    found = []
    for kind, said in statuses.items():
        status, reason = (said, "Because") if isinstance(said, str) else said
        since = {"lastTransitionTime": timestamp(NOON), "observedGeneration": 1}
        found.append({"type": kind, "status": status, "reason": reason, "message": f"{kind} says {reason}.", **since})
    return found


def joined(name: str, **labels: str) -> dict[str, Any]:
    """A Hospital that has joined."""
    found = shown("Hospital", {".metadata.name": name, "accepted": True}, labels=labels)
    return found | {"status": {"conditions": conditions(Joined="True")}}


def pod(**status: Any) -> dict[str, Any]:
    """A pod of the aggregator's, in that state."""
    metadata = {"name": "study-aggregator-1", "namespace": "hub", "creationTimestamp": timestamp(NOON)}
    return {"metadata": metadata, "status": status}


def progress(job: dict[str, Any], **said: Any) -> JobProgress:
    """What the job's aggregator says."""
    name = FederatedJob.model_validate({key: value for key, value in job.items() if key != "status"}).log_name
    return JobProgress.model_validate({"job": name, "version": 1, "phase": "Training", **said})
