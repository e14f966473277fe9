"""The limits of spec.runPolicy: who has waited, run or failed for too long. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from consilia_operator import pods
from consilia_operator.conditions import condition, holds, moment

Document = Mapping[str, Any]

BACKOFF = 6
"""How often a failed program is started again, unless runPolicy.backoffLimit says otherwise."""


@dataclass(frozen=True, slots=True)
class Overtime:
    """A limit that is exceeded."""

    reason: str
    message: str


def exceeded(
    job: Document, aggregator_pods: Sequence[Document], now: datetime, begun: datetime | None = None
) -> Overtime | None:
    """The first limit of the job that is exceeded. `begun`: when its first round was opened, as heard."""
    policy = job["spec"].get("runPolicy", {})
    for reason, limit, end in _deadlines(job, policy, begun):
        if now >= end:
            return Overtime(reason, f"{limit} is over. Create the job anew with more time, or see what held it up.")
    allowed = policy.get("backoffLimit", BACKOFF)
    newest = pods.newest(aggregator_pods)
    if newest and pods.restarts(newest) > allowed:
        last = " ".join(pods.last_words(each) for each in newest["status"].get("containerStatuses", ()))
        message = f"The aggregator failed more than {allowed} times. {last}"
        return Overtime("BackoffLimitExceeded", message.strip())
    return None


def next_deadline(job: Document, now: datetime) -> float | None:
    """In how many seconds the next limit of time is reached."""
    left = [(end - now).total_seconds() for _, _, end in _deadlines(job, job["spec"].get("runPolicy", {}))]
    return max(1.0, min(left)) if left else None


def _deadlines(
    job: Document, policy: Mapping[str, Any], begun: datetime | None = None
) -> Iterator[tuple[str, str, datetime]]:
    """Reason, field and end of the limits that run now. A job that is resumed has all of its time again."""
    status = job.get("status", {})
    conditions = status.get("conditions", ())
    if policy.get("suspend") or holds(conditions, "Suspended"):  # the second: it is being resumed by this very look
        return
    resumed = condition(conditions, "Suspended")
    started = moment(status["startTime"]) if "startTime" in status else begun
    anew = moment(resumed["lastTransitionTime"]) if resumed else None
    if (seconds := policy.get("activeDeadlineSeconds")) and started:
        end = max(started, anew or started) + timedelta(seconds=seconds)
        yield "DeadlineExceeded", "runPolicy.activeDeadlineSeconds", end
    if (seconds := policy.get("schedulingTimeoutSeconds")) and not started and not holds(conditions, "QuorumMet"):
        end = (anew or moment(job["metadata"]["creationTimestamp"])) + timedelta(seconds=seconds)
        yield "SchedulingTimeout", "runPolicy.schedulingTimeoutSeconds", end


def expires(job: Document, now: datetime) -> float | None:
    """In how many seconds a finished job is to be deleted; None if it stays."""
    seconds = job["spec"].get("runPolicy", {}).get("ttlSecondsAfterFinished")
    ended = job.get("status", {}).get("completionTime")
    if seconds is None or ended is None:
        return None
    return (moment(ended) + timedelta(seconds=seconds) - now).total_seconds()


def since_end(job: Document, now: datetime) -> float:
    """How long ago the job ended, in seconds."""
    ended = job.get("status", {}).get("completionTime")
    return (now - moment(ended)).total_seconds() if ended else 0.0
