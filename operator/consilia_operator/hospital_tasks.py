"""A HospitalTask, from offer to done: the hospital's side. `reconcile` is the whole story.

The hospital decides, on what it was told itself: nothing is read from the hub's FederatedJob.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from consilia.api import Dataset, HospitalTask
from consilia.api.support import unsupported
from consilia.errors import ManifestError
from consilia.ledger.interface import Statement
from consilia.progress import TrainerProgress
from consilia_operator import admitting, isolation, offers, pods
from consilia_operator.applying import digest_of
from consilia_operator.approval import closed, judge
from consilia_operator.conditions import Finding, amount, condition, confirmed, holds, in_words, moment, settle
from consilia_operator.context import Context, now, write_status
from consilia_operator.errors import ApiRefused, Conflict
from consilia_operator.kinds import DATASET, HOSPITAL_TASK, JOB, POD
from consilia_operator.manifests import begun_with, network, pod, trainer
from consilia_operator.names import APPLIED, EXPIRES, TASK
from consilia_operator.offers import Incomplete, Papers
from consilia_operator.overtime import BACKOFF
from consilia_operator.progress_watch import Source
from consilia_operator.store import Document, Key, key_of

_SOON, _LATER = 3.0, 60.0
_OPEN = frozenset({"Invalid", "NotSupported", "ClaimMissing", "ClaimLost", "Inspecting"})
"""Reasons of a Dataset that is not ready, whose messages say nothing that is the hospital's alone to know."""
_PODLESS = 30.0
"""After so long a Job without a pod is in trouble, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One offer, and all that is known of it."""

    document: Document
    task: HospitalTask | None
    findings: tuple[Finding, ...] = ()
    papers: Papers | None = None
    dataset: Dataset | None = None
    job: Document | None = None
    """The trainer's batch/v1 Job."""
    pod: Document | None = None
    progress: TrainerProgress | None = None
    statement: Statement | None = None
    """What the hospital's ledger says of the job."""
    again: float | None = None
    now: datetime

    def but(self, *findings: Finding, again: float | None = None) -> "Seen":
        """The same, and this was found."""
        return replace(self, findings=(*self.findings, *findings), again=again or self.again)


async def reconcile(context: Context, key: Key) -> float | None:
    """One look at one offer; in how many seconds to look again, if nothing changes before."""
    document = context.store.get(key)
    if document is None or document["metadata"].get("deletionTimestamp"):
        context.progress.forget(key)
        context.applying.forget_labelled(key.namespace, {TASK: key.name})
        await admitting.release(context, key, None, "Withdrawn")
        return None
    if _over(document):
        context.progress.follow(key, None)
        await write_status(context, document, confirmed(document["status"], document["metadata"]["generation"]))
        return None
    seen = await decide(context, observe(context, document))
    seen = await (train(context, seen) if seen.papers and seen.dataset else stop(context, seen))
    seen = await pay_off(context, seen)
    await write_status(context, document, report(seen))
    for finding in seen.findings:
        if finding.type == "Denied":
            context.metrics.denials.labels(finding.reason).inc()
    return seen.again


def _over(document: Document) -> bool:
    conditions = document.get("status", {}).get("conditions", ())
    return holds(conditions, "Done") or holds(conditions, "Denied")


def observe(context: Context, document: Document) -> Seen:
    """What the watches have shown."""
    key = key_of(HOSPITAL_TASK, document)
    own_pods = list(context.store.matching(POD, key.namespace, {TASK: key.name}))
    progress = context.progress.heard(key)
    return Seen(
        document=document,
        task=_parsed(document),
        job=context.store.get(Key(JOB, key.namespace, trainer.name_of(key.name))),
        pod=pods.newest(own_pods),
        progress=progress if isinstance(progress, TrainerProgress) else None,
        now=now(),
    )


def _parsed(document: Document) -> HospitalTask | None:
    try:
        return HospitalTask.model_validate({name: value for name, value in document.items() if name != "status"})
    except ValidationError:
        return None


async def decide(context: Context, seen: Seen) -> Seen:
    """Whether this hospital takes part: is the offer whole, can it be done, is the data there, is it approved?"""
    if seen.task is None:
        return seen.but(_denied("Invalid", "The offer is not valid. Ask the hub to make the job anew."))
    if problems := unsupported(seen.task, "Cluster"):
        unsafe = all("podTemplate" in each.path for each in problems)
        return seen.but(_denied("PodTemplateRefused" if unsafe else "NotSupported", in_words(problems)))
    papers = await offers.read(context, seen.task, seen.document)
    if isinstance(papers, Incomplete):
        if papers.final:
            return seen.but(_denied("OfferMismatch", papers.message))
        return seen.but(Finding("Approved", False, "OfferIncomplete", papers.message), again=_SOON)
    seen = _approve(context, seen.task, replace(seen, papers=papers))
    return await _admit(context, seen, seen.task, seen.dataset) if seen.task and seen.dataset else seen


async def _admit(context: Context, seen: Seen, task: HospitalTask, dataset: Dataset) -> Seen:
    """Before anything is made for an approved job: does the budget afford it?"""
    if task.spec.suspend and task.spec.privacy:
        return seen.but(Finding("Admitted", False, "Suspended", "Nothing is kept for the job while it takes no part."))
    if task.spec.privacy:
        dataset = admitting.as_begun(context, seen.document, dataset, seen.job)
    found = await admitting.admit(context, seen.document, task, dataset)
    seen = replace(seen, dataset=dataset if found.yes else None)
    return replace(seen, statement=found.statement).but(found.finding, again=found.again)


def _approve(context: Context, task: HospitalTask, seen: Seen) -> Seen:
    found = context.store.get(Key(DATASET, seen.document["metadata"]["namespace"], task.spec.dataset))
    if found is None:
        message = f"There is no Dataset {task.spec.dataset} here. Apply one, or deny the offer."
        return seen.but(Finding("Approved", False, "DatasetMissing", message))
    ready = condition(found.get("status", {}).get("conditions", ()), "Ready")
    if not _usable(ready, seen):
        where = f"kubectl -n {seen.document['metadata']['namespace']} describe dataset {task.spec.dataset}"
        message = f"Dataset {task.spec.dataset} is not ready. {_why(ready)} To see all of it: {where}"
        return seen.but(Finding("Approved", False, "DatasetNotReady", message))
    dataset = Dataset.model_validate({name: value for name, value in found.items() if name != "status"})
    approval = judge(task, dataset)
    if approval.verdict == "Denied":
        return seen.but(_denied(approval.reason, approval.message))
    if objection := admitting.objection(task, dataset, found.get("status", {})) or isolation.objection(
        context.settings, context.isolation, task
    ):
        return seen.but(objection)
    approved = Finding("Approved", approval.verdict == "Approved", approval.reason, approval.message)
    if approval.verdict != "Approved":
        return seen.but(approved)
    return replace(seen, dataset=dataset).but(approved)


def _usable(ready: Mapping[str, Any] | None, seen: Seen) -> bool:
    """A larger budget that nobody approved is not had; what was promised out of the smaller one is."""
    if ready is None:
        return False
    kept = holds(seen.document.get("status", {}).get("conditions", ()), "Admitted")
    return ready["status"] == "True" or (kept and ready["reason"] == "BudgetNotApproved")


def _why(ready: Mapping[str, Any] | None) -> str:
    """The hub is told this, too: nothing of the data, or of the ledger, but what kind of trouble there is."""
    if ready is None:
        return "It was not looked at yet."
    return str(ready["message"]) if ready["reason"] in _OPEN else f"{ready['reason']}."


def _denied(reason: str, message: str) -> Finding:
    return Finding("Denied", True, reason, message)


async def stop(context: Context, seen: Seen) -> Seen:
    """Without an approval there is no trainer, even if there was one before: a hospital may take its word back."""
    if not seen.job:
        return seen
    await _let_go(context, seen)
    return seen.but(Finding("Training", False, "NotApproved", "The hospital does not agree to it now."))


async def pay_off(context: Context, seen: Seen) -> Seen:
    """What is kept in the ledger for a part that is over, or does not run now, is free again."""
    found = {finding.type: finding for finding in seen.findings}
    done, admitted = found.get("Done"), found.get("Admitted")
    if not (done or admitted is None or admitted.holds is not True):
        return seen
    if not done and admitted is None:
        seen = seen.but(*_withdrawn(seen))
    kept = seen.document.get("status", {}).get("epsilonReserved", "0")
    key = key_of(HOSPITAL_TASK, seen.document)
    if float(kept) == 0 and key not in context.ledgers.promises:
        return seen
    statement = await admitting.release(context, key, seen.task, "Finished" if done else "Withdrawn")
    return replace(seen, statement=statement)


def _withdrawn(seen: Seen) -> tuple[Finding, ...]:
    """A job that is let in again is promised it again, also if the ledger is away by then."""
    if seen.task is None or seen.task.spec.privacy is None:
        return ()
    return (Finding("Admitted", False, "Withdrawn", "Nothing is kept for the job while the hospital does not agree."),)


async def train(context: Context, seen: Seen) -> Seen:
    """Have the trainer run, or not while the offer is suspended; and say how it is."""
    assert seen.task is not None and seen.papers is not None and seen.dataset is not None  # noqa: PT018
    if ended := _ended(seen):
        context.progress.follow(key_of(HOSPITAL_TASK, seen.document), None)
        return seen.but(*ended)
    if seen.task.spec.suspend:
        await _let_go(context, seen)
        return seen.but(Finding("Training", False, "Suspended", "The job takes no part of this hospital now."))
    if found := _not_now(seen.document, seen.dataset, seen.now):
        await _let_go(context, seen)
        return seen.but(found[0], again=found[1])
    parts = trainer.TrainerParts(
        task=seen.task,
        document=seen.document,
        dataset=seen.dataset,
        log_address=network.address_of(seen.papers.log, context.settings.cluster_domain),
        operator_namespace=context.namespace,
        backoff_limit=_backoff_limit(seen.papers),
    )
    try:
        runs = await _run(context, seen, parts)
    except (ManifestError, ApiRefused) as error:
        if isinstance(error, Conflict):
            raise
        return seen.but(Finding("Training", False, "TrainerRefused", str(error)), again=_LATER)
    if not runs:
        return seen.but(Finding("Training", False, "TrainerStarting", "The trainer is replaced."), again=_SOON)
    _listen(context, seen)
    return seen.but(_training(seen), again=None if seen.pod else _PODLESS)


def _not_now(document: Document, dataset: Dataset, moment_now: datetime) -> tuple[Finding, float] | None:
    """Why there is no trainer for a while, and how long: it is not the hour, or the hub is silent for too long."""
    if hours := dataset.spec.approval.hours:
        try:
            wait = closed(hours, moment_now)
        except ManifestError as error:
            return Finding("Training", False, "OutsideHours", f"Dataset {dataset.metadata.name}: {error}"), _LATER
        if wait:
            message = f"Jobs train here from {hours.begin} to {hours.end} ({hours.time_zone})."
            return Finding("Training", False, "OutsideHours", message), wait.total_seconds()
    until = document["metadata"].get("annotations", {}).get(EXPIRES)
    if until and moment(until) <= moment_now:
        message = f"The hub has not been heard of since its offer ended, at {until}."
        return Finding("Training", False, "OfferExpired", message), _LATER
    return None


def _backoff_limit(papers: Papers) -> int:
    asked = papers.job.spec.run_policy.backoff_limit
    return BACKOFF if asked is None else asked


async def _run(context: Context, seen: Seen, parts: trainer.TrainerParts) -> bool:
    """Apply all of it; False if an older Job, which cannot be changed, had to be deleted first."""
    uid = seen.document["metadata"]["uid"]
    if not context.remembered.recall(uid, "claim"):
        await context.api.create_once(trainer.state_claim(parts, context.settings))
        context.remembered.keep(uid, "claim", True)
    *others, job = trainer.documents(parts, begun_with.recalled(context.settings, trainer.TRAINER, seen.job))
    if seen.job and seen.job["metadata"].get("annotations", {}).get(APPLIED) != digest_of(job):
        await _let_go(context, seen)
        return False
    for document in [*others, job]:
        await context.applying.apply(document)
    return True


async def _let_go(context: Context, seen: Seen) -> None:
    context.progress.forget(key_of(HOSPITAL_TASK, seen.document))
    if seen.job:
        metadata = seen.job["metadata"]
        await context.applying.delete(JOB, metadata["namespace"], metadata["name"], uid=metadata["uid"])


def _ended(seen: Seen) -> tuple[Finding, ...]:
    """How the trainer ended, if it did."""
    conditions = seen.job.get("status", {}).get("conditions", ()) if seen.job else ()
    if holds(conditions, "Complete"):
        message = "The job is over, and this hospital's part in it."
        return Finding("Training", False, "Finished", message), Finding("Done", True, "Finished", message)
    if failed := holds(conditions, "Failed") and condition(conditions, "Failed"):
        containers = seen.pod.get("status", {}).get("containerStatuses", ()) if seen.pod else ()
        if _exhausted(str(failed.get("message", "")), containers):
            message = "The privacy budget is spent, or what the job promised to spend: the others go on without it."
            return tuple(
                Finding(kind, holds_now, "BudgetExhausted", message)
                for kind, holds_now in (("Training", False), ("Done", True))
            )
        last = " ".join(pods.last_words(each) for each in containers)
        again = f"kubectl -n {seen.document['metadata']['namespace']} delete job {seen.job['metadata']['name']}"  # type: ignore[index]
        message = f"{failed.get('message', 'It failed.')} {last} To start it again: {again}"
        return (Finding("Training", False, "TrainerFailed", message),)
    return ()


def _exhausted(message: str, containers: Sequence[Document]) -> bool:
    """Whether it ended because the ledger affords no more. Its pod may be gone; then the Job tells the exit code."""
    codes = {pods.exit_code(each) for each in containers}
    return pod.EXIT_EXHAUSTED in codes or f"exit code {pod.EXIT_EXHAUSTED} " in f"{message} "


def _listen(context: Context, seen: Seen) -> None:
    assert seen.task is not None and seen.papers is not None  # noqa: PT018
    status = seen.pod.get("status", {}) if seen.pod else {}
    source = None
    if status.get("phase") == "Running" and status.get("podIP"):
        key = seen.papers.roster.hospitals[seen.task.spec.hospital]
        source = Source(status["podIP"], key, TrainerProgress, seen.papers.job.log_name)
    context.progress.follow(key_of(HOSPITAL_TASK, seen.document), source)


def _training(seen: Seen) -> Finding:
    if seen.pod and (trouble := pods.trouble(seen.pod)):
        return Finding("Training", False, trouble.reason, trouble.message)
    phase = seen.pod.get("status", {}).get("phase") if seen.pod else None
    before = condition(seen.document.get("status", {}).get("conditions", ()), "Training")
    if phase == "Running" and (seen.progress or (before and before["status"] == "True")):
        return Finding("Training", True, "TrainerRunning", "The trainer runs.")
    if seen.pod is None and seen.job:
        return _podless(seen, seen.job)
    return Finding("Training", False, "TrainerStarting", "The trainer is starting.")


def _podless(seen: Seen, job: Document) -> Finding:
    """A quota, a policy or the pod's own spec may keep the Job from making a pod; only its Events say which."""
    if job["spec"].get("suspend"):
        return Finding("Training", False, "Queued", "The trainer waits for its queue to admit it.")
    metadata = job["metadata"]
    if (seen.now - moment(metadata["creationTimestamp"])).total_seconds() < _PODLESS:
        return Finding("Training", False, "TrainerStarting", "The trainer is starting.")
    where = f"kubectl -n {metadata['namespace']} describe job {metadata['name']}"
    return Finding("Training", False, "NoPod", f"Its Job has not made a pod. To see why: {where}")


def report(seen: Seen) -> dict[str, Any]:
    """The whole status; what is not known now stays as it was."""
    before, generation = seen.document.get("status", {}), seen.document["metadata"]["generation"]
    conditions = settle(before.get("conditions", ()), seen.findings, generation, seen.now)
    status: dict[str, Any] = before | {"observedGeneration": generation, "conditions": conditions}
    if seen.progress:
        status |= {"round": seen.progress.round, "attempts": seen.progress.attempts}
    status |= _epsilon(seen)
    state, message = _state(conditions, seen.progress)
    status |= {"state": state, "message": message}
    return status


def _epsilon(seen: Seen) -> dict[str, str]:
    """What the job has spent here, by the ledger or, if that is newer, by the trainer; and what is kept for it.

    Of a job without privacy nothing is told: 0 would be the best there is.
    """
    if "privacy" not in seen.document["spec"]:
        return {}
    told = [seen.progress.epsilon] if seen.progress else []
    if seen.statement:
        told.append(amount(seen.statement.spent_by_job))
        told.append(str(seen.document.get("status", {}).get("epsilonSpent", "0")))
    spent = {"epsilonSpent": max(told, key=float)} if told else {}
    kept = {"epsilonReserved": amount(max(0.0, seen.statement.reserved_for_job))} if seen.statement else {}
    return spent | kept


def _state(conditions: list[dict[str, Any]], progress: TrainerProgress | None) -> tuple[str, str]:
    for kind in ("Denied", "Done"):
        if holds(conditions, kind):
            found = condition(conditions, kind)
            return kind, str(found["message"]) if found else ""
    if not holds(conditions, "Approved"):
        found = condition(conditions, "Approved")
        return (str(found["reason"]), str(found["message"])) if found else ("Offered", "")
    admitted = condition(conditions, "Admitted")
    if admitted and admitted["status"] == "False":
        return str(admitted["reason"]), str(admitted["message"])
    training = condition(conditions, "Training")
    if training is None:
        return "Approved", ""
    if training["status"] == "True" and progress:
        return progress.state, progress.message
    return str(training["reason"]), str(training["message"])
