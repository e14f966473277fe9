"""A FederatedJob's status from what was seen: conditions, rounds, hospitals, and the line of `kubectl get`. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_UP, Decimal
from typing import Any

from consilia.api import FederatedJob
from consilia.log import topics
from consilia.progress import JobProgress
from consilia_operator import hospital_rows, pods
from consilia_operator.admission import Admission
from consilia_operator.conditions import Finding, condition, confirmed, finished, holds, settle, timestamp
from consilia_operator.overtime import Overtime

Document = Mapping[str, Any]
_LARGE = 1_000_000
"""An ε above this protects nobody, however large it is."""
_PHASES = frozenset({"AggregatorStarting", "WaitingForHospitals"})
"""Why rounds are not run, in the aggregator's own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One job, and all that is known of it."""

    document: dict[str, Any]
    job: FederatedJob | None
    """None: it is not valid."""
    admission: Admission
    transport: Finding | None = None
    """None: nothing new is known."""
    transport_again: float | None = None
    """When the transport wants to be asked again, in seconds."""
    tasks: Mapping[str, Document]
    """HospitalTasks by hospital."""
    pods: Sequence[Document] = ()
    """The aggregator's."""
    deployment: Document | None = None
    """The aggregator's."""
    progress: JobProgress | None = None
    overtime: Overtime | None = None
    refused: str = ""
    """What the API server does not let us make, and why."""
    now: datetime

    @property
    def before(self) -> Document:
        """The status that it has."""
        found: Document = self.document.get("status", {})
        return found

    @property
    def suspended(self) -> bool:
        """Whether it shall have no pods."""
        return bool(self.document["spec"].get("runPolicy", {}).get("suspend", False))

    @property
    def unheard(self) -> bool:
        """Whether the aggregator spoke to an earlier process and not to this one yet: what it said still stands."""
        return self.progress is None and "round" in self.before

    @property
    def over(self) -> bool:
        """Whether it has ended before."""
        return finished(self.before.get("conditions", ()))


def report(seen: Seen) -> dict[str, Any]:
    """The whole status. What is not known now stays as it was; what is final stays for ever."""
    before = dict(seen.before)
    if seen.over:
        return confirmed(before, seen.document["metadata"]["generation"])
    generation = seen.document["metadata"]["generation"]
    conditions = settle(before.get("conditions", ()), _findings(seen), generation, seen.now)
    status = before | {"observedGeneration": generation, "conditions": conditions}
    if seen.progress and seen.job:
        status |= _progress(seen.job, seen.progress)
    if seen.job and seen.admission.yes and not seen.unheard:
        status["hospitals"] = hospital_rows.rows(seen.admission.hospitals, seen.tasks, seen.progress)
        status |= _epsilon(status["hospitals"])
    if finished(conditions):
        status["completionTime"] = timestamp(seen.now)
    status["summary"] = _summary(seen, status)
    return status


def _findings(seen: Seen) -> list[Finding]:
    ending = _ending(seen)
    found = [seen.admission.accepted]
    if seen.transport:
        found.append(seen.transport)
    if seen.job and seen.admission.yes and not seen.unheard:
        found.append(_quorum(seen, seen.job))
    if seen.suspended or condition(seen.before.get("conditions", ()), "Suspended"):
        found.append(_suspended(seen))
    if ending:
        return [*found, Finding("Running", False, ending.reason, "The job has ended."), ending]
    return [*found, *_running(seen)]


def _ending(seen: Seen) -> Finding | None:
    if seen.progress and seen.progress.ending:
        ending = seen.progress.ending
        message = ending.message or _fetch(seen)
        return Finding(ending.outcome, True, ending.reason, message)
    if seen.admission.final:
        return Finding("Failed", True, seen.admission.accepted.reason, seen.admission.accepted.message)
    if seen.overtime:
        return Finding("Failed", True, seen.overtime.reason, seen.overtime.message)
    return None


def _fetch(seen: Seen) -> str:
    metadata = seen.document["metadata"]
    where = f"kubectl -n {metadata['namespace']} exec deploy/{hospital_rows.aggregator_of(seen.document)}"
    return f"Fetch the model: {where} -- consilia-model > model.safetensors"


def _quorum(seen: Seen, job: FederatedJob) -> Finding:
    needed, total = job.spec.hospitals.min_ready, len(seen.admission.hospitals)
    if seen.progress and seen.progress.started is not None:
        there = hospital_rows.present(seen.progress)
        return Finding("QuorumMet", True, "HospitalsReady", f"{there} of {total} hospitals take part; {needed} needed.")
    waiting = hospital_rows.waiting_for(seen.admission.hospitals, seen.tasks, seen.progress)
    message = f"{needed} of {total} hospitals must be ready. {waiting}".strip()
    return Finding("QuorumMet", False, hospital_rows.commonest_reason(seen.tasks) or "WaitingForHospitals", message)


def _suspended(seen: Seen) -> Finding:
    if seen.suspended:
        return Finding("Suspended", True, "Suspended", "runPolicy.suspend is true; set it to false to go on.")
    return Finding("Suspended", False, "Resumed", "The job goes on from the log.")


def _running(seen: Seen) -> Iterator[Finding]:
    """Whether rounds are being run, and if not, the nearest cause."""
    if hindrance := _hindrance(seen):
        yield hindrance
    elif seen.progress:
        yield _phase(seen.progress)
    elif not seen.unheard or _stood_still(seen.before.get("conditions", ())):
        yield Finding("Running", False, "AggregatorStarting", "The aggregator has not been heard of yet.")


def _stood_still(before: Sequence[Document]) -> bool:
    """Whether there was a hindrance that is no more."""
    running = condition(before, "Running")
    return running is None or (running["status"] != "True" and running["reason"] not in _PHASES)


def _hindrance(seen: Seen) -> Finding | None:
    """What keeps the aggregator from running."""
    if seen.suspended:
        return Finding("Running", False, "Suspended", "Suspended jobs have no pods.")
    if not seen.admission.yes:
        return Finding("Running", False, seen.admission.accepted.reason, "The job is not accepted yet.")
    if seen.transport and seen.transport.holds is False:
        return Finding("Running", False, seen.transport.reason, "The log is not ready yet.")
    if seen.refused and not (seen.progress and seen.progress.started):
        return Finding("Running", False, "Refused", f"{seen.refused} See to it; it is tried again.")
    return _without_pod(seen)


def _without_pod(seen: Seen) -> Finding | None:
    """What keeps the aggregator's pod from running, or from being there."""
    newest = pods.newest(seen.pods)
    if newest and (trouble := pods.trouble(newest)):
        return Finding("Running", False, trouble.reason, f"The aggregator does not run. {trouble.message}")
    conditions = seen.deployment.get("status", {}).get("conditions", ()) if seen.deployment else ()
    failed = condition(conditions, "ReplicaFailure")
    if newest is None and failed and failed["status"] == "True":
        return Finding("Running", False, "PodRefused", f"The aggregator's pod is not let in: {failed.get('message')}")
    return None


def _phase(progress: JobProgress) -> Finding:
    match progress.phase:
        case "Starting":
            return Finding("Running", False, "AggregatorStarting", "The aggregator reads the log.")
        case "Waiting":
            return Finding("Running", False, "WaitingForHospitals", "The first round opens with enough hospitals.")
        case "Evaluating":
            return Finding("Running", True, "Evaluating", "The final model is being evaluated.")
    late = [each.name for each in progress.hospitals if each.state == "Late"]
    behind = f" Late: {', '.join(late)}." if late else ""
    return Finding("Running", True, "RoundOpen", f"Round {progress.round} is open.{behind}")


def _progress(job: FederatedJob, progress: JobProgress) -> dict[str, Any]:
    found: dict[str, Any] = {
        "round": progress.round,
        "roundsCompleted": progress.rounds_completed,
        "updatesReceived": progress.updates_received,
    }
    if progress.started is not None:
        found["startTime"] = timestamp(datetime.fromtimestamp(progress.started, UTC))
    if progress.last_round_seconds is not None:
        found["lastRoundSeconds"] = f"{progress.last_round_seconds:.3f}"
    if metrics := _metrics(job, progress):
        found["metrics"] = metrics
    if progress.model:
        uri = f"kafka:///{topics.model(job.log_name)}"
        found["model"] = {"uri": uri, "digest": progress.model.digest, "round": progress.model.round}
    return found


def _epsilon(rows: Sequence[Document]) -> dict[str, Any]:
    """The most that a hospital has spent. Without privacy nothing is bounded: no ε is told, for 0 would be the best."""
    told = [str(row["epsilonSpent"]) for row in rows if "epsilonSpent" in row]
    return {"epsilon": {"maxSpent": max(told, key=float)}} if told else {}


def _two_digits(amount: str) -> str:
    """As people read it, and no less than it is."""
    if amount and float(amount) > _LARGE:
        return f">{_LARGE}"
    return f"{Decimal(amount).quantize(Decimal('0.01'), rounding=ROUND_UP).normalize():f}" if amount else ""


def _metrics(job: FederatedJob, progress: JobProgress) -> list[dict[str, str]]:
    """In the order that the job asks for them: the first one is shown."""
    asked = job.spec.evaluation.reported()
    finite = {name: value for name, value in progress.metrics.items() if math.isfinite(value)}
    names = sorted(finite, key=lambda name: (asked.index(name) if name in asked else len(asked), name))
    return [{"name": name, "value": f"{finite[name]:.6g}"} for name in names]


def _summary(seen: Seen, status: Mapping[str, Any]) -> dict[str, str]:
    rows = status.get("hospitals", ())
    ready = sum(1 for row in rows if row["state"] in hospital_rows.TAKING_PART)
    metrics = status.get("metrics", ())
    total = seen.document["spec"]["rounds"]["count"]
    return {
        "state": _state(status["conditions"]),
        "rounds": f"{status.get('roundsCompleted', 0)}/{total}",
        "hospitals": f"{ready}/{len(rows)}" if rows else "",
        "metric": f"{metrics[0]['name']} {float(metrics[0]['value']):.4g}" if metrics else "",
        "epsilon": _two_digits(status.get("epsilon", {}).get("maxSpent", "")),
    }


def _state(conditions: Sequence[Document]) -> str:
    """The one word that matters most now: how it ended, that it runs, or the reason why it does not."""
    for kind in ("Failed", "Succeeded", "Suspended"):
        if holds(conditions, kind):
            return kind
    running = condition(conditions, "Running")
    assert running is not None
    if running["status"] == "True":
        return "Evaluating" if running["reason"] == "Evaluating" else "Running"
    if running["reason"] == "WaitingForHospitals" and (quorum := condition(conditions, "QuorumMet")):
        return str(quorum["reason"])
    return str(running["reason"])
