"""A FederatedJob, from what is there to what is asked for. `reconcile` is the whole story.

Level-based: it decides from what it sees now, never from what changed. Any number of calls, in any order, after any
crash, lead to the same place.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic

from consilia.api import FederatedJob
from consilia.progress import JobProgress
from consilia_operator import admission, overtime, pinning, pods, sweeping
from consilia_operator.admission import Admission
from consilia_operator.conditions import Finding, holds
from consilia_operator.context import Context, now, write_status
from consilia_operator.correspondence.hub import is_member
from consilia_operator.correspondence.standing import Wanted
from consilia_operator.errors import ApiRefused, Conflict
from consilia_operator.kinds import DEPLOYMENT, FEDERATED_JOB, HOSPITAL, HOSPITAL_TASK, POD
from consilia_operator.manifests import aggregator, begun_with, network
from consilia_operator.manifests.offer import Offer, hospital_task, papers
from consilia_operator.names import COMPONENT, JOB_UID
from consilia_operator.pinning import Pinned
from consilia_operator.progress_watch import Source
from consilia_operator.reporting import Seen, report
from consilia_operator.settings import OperatorSettings
from consilia_operator.store import Document, Key, key_of
from consilia_operator.transport.interface import NotReady, Ready

logger = logging.getLogger("consilia.operator")

_ENDED_BY_US = frozenset({"DeadlineExceeded", "SchedulingTimeout", "BackoffLimitExceeded"})
_REFUSED_AGAIN, _REFUSED_LATER = 5.0, 30.0
_HEARING = 60.0
"""So long an operator that was away tries to hear a running aggregator before a limit counts, in seconds."""
_LEAVE_IN_PEACE = 60.0
"""How long trainers have to hear that the job is over before their pods are taken away, in seconds."""


async def reconcile(context: Context, key: Key) -> float | None:
    """One look at one job; in how many seconds to look again, if nothing changes before.

    Raises:
        ApiUnavailable, Conflict: look again soon.
    """
    document = context.store.get(key)
    if document is None or document["metadata"].get("deletionTimestamp"):
        await sweeping.clear_away(context, key)
        return None
    if sweeping.has_older(context, document):
        await sweeping.clear_away(context, key)
    seen = await observe(context, document)
    if seen.over:
        return await wind_up(context, seen)
    if seen.suspended or seen.overtime:
        await stand_down(context, seen)
    elif seen.admission.yes:
        seen = await provide(context, seen)
    await write_status(context, document, report(seen))
    return _again(seen)


async def observe(context: Context, document: Document) -> Seen:
    """All that is known of the job."""
    key, uid = key_of(FEDERATED_JOB, document), document["metadata"]["uid"]
    own = {JOB_UID: uid, COMPONENT: aggregator.AGGREGATOR}
    own_pods = list(context.store.matching(POD, key.namespace, own))
    tasks = context.store.matching(HOSPITAL_TASK, None, {JOB_UID: uid})
    parsed = admission.parse(document)
    job = parsed if isinstance(parsed, FederatedJob) else None
    progress = _heard(context, document)
    return Seen(
        document=document,
        job=job,
        admission=parsed if isinstance(parsed, Admission) else await _admit(context, document, parsed),
        tasks={each["metadata"]["namespace"]: each for each in tasks} | context.desks.tasks(key.namespace, uid),
        pods=own_pods,
        progress=progress,
        overtime=_overtime(context, document, own_pods, progress),
        deployment=context.store.get(Key(DEPLOYMENT, key.namespace, aggregator.name_of(document))),
        now=now(),
    )


def _heard(context: Context, document: Document) -> JobProgress | None:
    """What this job's aggregator said last: not what one of an older job's of the same name did."""
    said = context.progress.heard(key_of(FEDERATED_JOB, document))
    return said if isinstance(said, JobProgress) and said.job == sweeping.log_name(document) else None


def _overtime(
    context: Context, document: Document, own_pods: Sequence[Document], progress: JobProgress | None
) -> overtime.Overtime | None:
    """The limit that is exceeded. An operator that was away hears first how far a running aggregator is."""
    if progress and progress.ending:
        return None
    begun = progress.started if progress else None
    found = overtime.exceeded(document, own_pods, now(), datetime.fromtimestamp(begun, UTC) if begun else None)
    newest = pods.newest(own_pods)
    if found is None or progress or newest is None or not pods.runs(newest):
        return found
    uid, moment = document["metadata"]["uid"], monotonic()
    since = context.remembered.recall(uid, "unheard") or context.remembered.keep(uid, "unheard", moment)
    return found if moment - since >= _HEARING else None


async def _admit(context: Context, document: Document, job: FederatedJob) -> Admission:
    """Once the roster is pinned, the job is accepted for good."""
    if pinned := pinning.recall(context, document):
        return _accepted(pinned)
    # A job that was accepted has its roster in a ConfigMap, which an earlier process may have made.
    accepted = holds(document.get("status", {}).get("conditions", ()), "Accepted")
    if accepted and (pinned := await pinning.recover(context, document)):
        return _accepted(pinned)
    return admission.admit(job, context.store.all(HOSPITAL, document["metadata"]["namespace"]), now())


def _accepted(pinned: Pinned) -> Admission:
    names = pinned.hospitals
    message = f"{len(names)} hospitals are on the roster: {', '.join(names)}."
    return Admission(accepted=Finding("Accepted", True, "Valid", message), hospitals=names)


async def provide(context: Context, seen: Seen) -> Seen:
    """Make what the job needs, in this order: keys, the log, offers, the aggregator. What was learnt comes back."""
    assert seen.job is not None
    pinned = await _pin(context, seen)
    if isinstance(pinned, str):
        return replace(seen, refused=pinned)
    seen = replace(seen, admission=_accepted(pinned))
    ready = await _connect(context, seen.document, pinned)
    if isinstance(ready, NotReady):
        waiting = Finding("TransportReady", False, ready.reason, ready.message)
        return replace(seen, transport=waiting, transport_again=ready.retry_seconds)
    refused = [*await _offer(context, seen.document, pinned, ready), *await _aggregate(context, seen, pinned, ready)]
    _listen(context, seen, pinned)
    seen = replace(seen, refused=" ".join(refused))
    return replace(seen, transport=Finding("TransportReady", True, "KafkaReady", "The log is ready."))


async def _pin(context: Context, seen: Seen) -> Pinned | str:
    try:
        return await pinning.pin(context, seen.document, seen.admission.hospitals)
    except Conflict:
        raise
    except ApiRefused as error:
        return f"Its key and roster cannot be kept: {error}"


async def _connect(context: Context, job: Document, pinned: Pinned) -> Ready | NotReady:
    there, members = _by_cluster(context, job, pinned)
    try:
        return await context.transport.prepare(job, there, members)
    except Conflict:
        raise
    except ApiRefused as error:
        message = f"The API server does not let the operator provide the log: {error}"
        return NotReady(reason="Refused", message=message, retry_seconds=_REFUSED_LATER)


def _by_cluster(context: Context, job: Document, pinned: Pinned) -> tuple[list[str], list[str]]:
    """The hospitals in this cluster, and those in others that are members now: who was expelled stays out."""
    known = {each["metadata"]["name"]: each for each in context.store.all(HOSPITAL, job["metadata"]["namespace"])}
    away = {name for name in pinned.hospitals if name in known and is_member(known[name])}
    there = [name for name in pinned.hospitals if name not in away]
    return there, sorted(name for name in away if known[name]["spec"].get("accepted"))


async def _offer(context: Context, job: Document, pinned: Pinned, ready: Ready) -> list[str]:
    """Ask every hospital; who cannot be asked does not keep the others waiting. Why they cannot be."""
    refused = []
    there, members = _by_cluster(context, job, pinned)
    wanted = Wanted(job=aggregator.offered_job(job), roster=pinned.roster.as_json())
    for name in members:
        context.desks.offer(job["metadata"]["namespace"], name, job["metadata"]["uid"], wanted)
    for name in there:
        offer = Offer(
            job=job,
            hospital=name,
            roster=pinned.roster.as_json(),
            roster_digest=pinned.roster.digest(),
            withdrawn=False,
        )
        try:
            await _hand_over(context, offer, ready)
        except ApiRefused as error:
            refused.append(f"{name} cannot be asked: {error}")
    return refused


async def _hand_over(context: Context, offer: Offer, ready: Ready) -> None:
    task = hospital_task(offer)
    await context.applying.apply(task)
    made = context.store.get(key_of(HOSPITAL_TASK, task))
    if made is not None:
        sent = papers(offer, made, ready.parties[offer.hospital].files)
        if any([await context.applying.apply(paper) for paper in sent]):
            context.queue.add(key_of(HOSPITAL_TASK, task))  # Secrets are not watched: the hospital would ask in vain.


async def _aggregate(context: Context, seen: Seen, pinned: Pinned, ready: Ready) -> list[str]:
    """Have the aggregator run. Why it cannot."""
    files = ready.parties[aggregator.AGGREGATOR].files
    parts = aggregator.AggregatorParts(
        job=seen.document,
        roster=pinned.roster.as_json(),
        log=files,
        log_address=network.address_of(files, context.settings.cluster_domain),
        running=True,
        operator_namespace=context.namespace,
    )
    try:
        for document in aggregator.documents(parts, _settings_of(context, seen.document)):
            await context.applying.apply(document)
    except ApiRefused as error:
        return [f"The aggregator cannot be made: {error}"]
    return []


def _settings_of(context: Context, job: Document) -> OperatorSettings:
    """While it runs its aggregator is left as it is; a suspended job goes on with what is new."""
    there = context.store.get(Key(DEPLOYMENT, job["metadata"]["namespace"], aggregator.name_of(job)))
    running = there if there and there["spec"].get("replicas") != 0 else None
    return begun_with.recalled(context.settings, aggregator.AGGREGATOR, running)


def _listen(context: Context, seen: Seen, pinned: Pinned) -> None:
    """Hear the aggregator's pod on where the job stands."""
    assert seen.job is not None
    newest = pods.newest(seen.pods)
    address = newest.get("status", {}).get("podIP") if newest else None
    running = newest is not None and newest.get("status", {}).get("phase") == "Running"
    source = Source(address, pinned.roster.aggregator, JobProgress, seen.job.log_name) if address and running else None
    context.progress.follow(key_of(FEDERATED_JOB, seen.document), source)


async def stand_down(context: Context, seen: Seen) -> None:
    """Give back all pods. What is on the log stays, and so does all that is needed to go on."""
    context.progress.forget(key_of(FEDERATED_JOB, seen.document))
    key = Key(DEPLOYMENT, seen.document["metadata"]["namespace"], aggregator.name_of(seen.document))
    deployment = context.store.get(key)
    if deployment and deployment["spec"].get("replicas") != 0:
        await context.api.merge(DEPLOYMENT, key.namespace, key.name, {"spec": {"replicas": 0}})
    await withdraw(context, seen)


async def withdraw(context: Context, seen: Seen) -> None:
    """Ask the hospitals to let go of their trainers; who refuses does not keep the others theirs."""
    context.desks.suspend(seen.document["metadata"]["namespace"], seen.document["metadata"]["uid"])
    for task in seen.tasks.values():
        metadata = task["metadata"]
        if "uid" in metadata and not task["spec"].get("suspend"):
            patch = {"spec": {"suspend": True}}
            try:
                await context.api.merge(HOSPITAL_TASK, metadata["namespace"], metadata["name"], patch)
            except ApiRefused as error:
                logger.warning("%s/%s keeps its trainer: %s", metadata["namespace"], metadata["name"], error)


async def wind_up(context: Context, seen: Seen) -> float | None:
    """After the end: trainers go, the aggregator stays to hand out the model, and all goes when its time is over."""
    job = seen.document
    if (left := overtime.expires(job, seen.now)) is not None and left <= 0:
        metadata = job["metadata"]
        await context.api.delete(FEDERATED_JOB, metadata["namespace"], metadata["name"], uid=metadata["uid"])
        return None
    context.progress.follow(key_of(FEDERATED_JOB, job), None)
    conditions = job["status"]["conditions"]
    if any(each["type"] == "Failed" and each["reason"] in _ENDED_BY_US for each in conditions):
        await stand_down(context, seen)
    elif (peace := overtime.since_end(job, seen.now)) >= _LEAVE_IN_PEACE or _all_done(seen):
        await withdraw(context, seen)
    else:
        left = min(left or _LEAVE_IN_PEACE, _LEAVE_IN_PEACE - peace)
    await write_status(context, job, report(seen))
    return left


def _all_done(seen: Seen) -> bool:
    return all(holds(each.get("status", {}).get("conditions", ()), "Done") for each in seen.tasks.values())


def _again(seen: Seen) -> float | None:
    waits = [seen.admission.again, seen.transport_again, overtime.next_deadline(seen.document, seen.now)]
    if seen.refused:
        waits.append(_REFUSED_AGAIN)
    return min((wait for wait in waits if wait is not None), default=None)
