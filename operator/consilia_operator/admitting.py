"""Whether a hospital's privacy budget lets a job in: forecast and kept in its ledger before a GPU is taken."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import Literal

from consilia.api import Dataset, HospitalTask
from consilia.api.federated_job import name_on_log
from consilia.errors import (
    BudgetError,
    ConsiliaError,
    IdentityError,
    LedgerError,
    LedgerRefusedError,
    LedgerUnavailableError,
    ManifestError,
)
from consilia.ledger.chain import Head
from consilia.ledger.interface import LEASE, PrivacyLedger, Statement
from consilia.privacy.sizes import public_size
from consilia_operator import accounts
from consilia_operator.conditions import Finding, amount, holds
from consilia_operator.context import Context
from consilia_operator.kinds import DATASET, HOSPITAL_TASK
from consilia_operator.ledgers import Promise
from consilia_operator.names import PUBLIC_SIZE
from consilia_operator.store import Document, Key, key_of

logger = logging.getLogger("consilia.operator")

_SOON, _NOW_AND_THEN = 3.0, 30.0
_CALM = 10.0
"""So long the ledger is not asked again about a job, in seconds: every message of its trainer wakes us."""
_RENEWED_AFTER = LEASE.total_seconds() / 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """What the budget says."""

    finding: Finding
    """Of type Admitted, Approved or Denied."""
    statement: Statement | None = None
    again: float | None = None

    @property
    def yes(self) -> bool:
        """Whether the job may be trained."""
        return self.finding.type == "Admitted" and self.finding.holds is True


def objection(task: HospitalTask, dataset: Dataset, status: Document) -> Finding | None:
    """What keeps the job from ever being asked about: it is said before anybody is bothered with an approval. Pure."""
    asked, offered = task.spec.privacy, dataset.spec
    if asked is None:
        if not accounts.limited(dataset, status):
            return None
        message = f"Dataset {dataset.metadata.name} has a privacy budget: apply the job anew with spec.privacy."
        return Finding("Denied", True, "PrivacyRequired", message)
    if asked.unit != offered.unit:
        message = (
            f"Dataset {dataset.metadata.name} hides each {offered.unit}, the job each {asked.unit}. Apply the job anew "
            f"with privacy.unit: {offered.unit}."
        )
        return Finding("Denied", True, "UnitMismatch", message)
    if offered.public_size is None:
        message = f"Dataset {dataset.metadata.name} tells no size, from which noise and ε follow: set spec.publicSize."
        return Finding("Approved", False, "PublicSizeMissing", message)
    return None


def as_begun(context: Context, document: Document, dataset: Dataset, trainer: Document | None) -> Dataset:
    """The Dataset with the size that the job was promised by, as long as it runs: with another it needs other noise."""
    promise = context.ledgers.promises.get(key_of(HOSPITAL_TASK, document))
    if promise and promise.uid == document["metadata"]["uid"]:
        size = promise.size
    elif trainer and (told := trainer["metadata"].get("annotations", {}).get(PUBLIC_SIZE, "")).isdecimal():
        size = int(told)
    else:
        return dataset
    return dataset.model_copy(update={"spec": dataset.spec.model_copy(update={"public_size": size})})


async def admit(context: Context, document: Document, task: HospitalTask, dataset: Dataset) -> Admitted:
    """Have the ledger keep what an approved job will need, or go on keeping it."""
    if task.spec.privacy is None:
        message = "The Dataset has no privacy budget: nothing had to be reserved."
        return Admitted(finding=Finding("Admitted", True, "NoBudget", message))
    key, uid, moment = key_of(HOSPITAL_TASK, document), document["metadata"]["uid"], monotonic()
    known = context.ledgers.promises.get(key)
    known = known if known and known.uid == uid else None
    if known and moment - known.looked < _CALM:
        return _kept(known)
    try:
        promise = await _promise(context, document, task, dataset, known)
    except (LedgerUnavailableError, LedgerRefusedError, IdentityError) as error:
        return _not_now(document, known, error)
    except (BudgetError, ManifestError) as error:
        return Admitted(finding=Finding("Denied", True, _word(error), str(error)))
    except LedgerError as error:
        context.look_at(DATASET, key.namespace, task.spec.dataset)
        return Admitted(finding=Finding("Admitted", False, "LedgerDamaged", str(error)), again=_NOW_AND_THEN)
    context.ledgers.promises[key] = promise
    if known is None:
        context.look_at(DATASET, key.namespace, task.spec.dataset)
    return _kept(promise)


def _word(error: BudgetError | ManifestError) -> str:
    return "BudgetExceeded" if isinstance(error, BudgetError) else "PrivacyImpossible"


async def _promise(
    context: Context, document: Document, task: HospitalTask, dataset: Dataset, known: Promise | None
) -> Promise:
    """What the ledger keeps now; it is asked to keep it when it was not yet, or a good while ago."""
    job, moment = name_on_log(task.spec.job.name, task.spec.job.uid), monotonic()
    renew = known is None or moment - known.renewed >= _RENEWED_AFTER
    metadata = document["metadata"]
    size = dataset.spec.public_size
    assert size is not None, "objection() sees to that"
    heads = accounts.seen_heads(context, metadata["namespace"])
    questions = partial(_questions, task=task, size=size, heads=heads, job=job, renew=renew)
    statement = await context.ledgers.ask(metadata["namespace"], questions)
    return Promise(
        uid=metadata["uid"],
        dataset=dataset.metadata.name,
        size=size,
        job=job,
        renewed=moment if renew or known is None else known.renewed,
        looked=moment,
        statement=statement,
    )


def _questions(
    ledger: PrivacyLedger, *, task: HospitalTask, size: int, heads: Sequence[Head], job: str, renew: bool
) -> Statement:
    ledger.compare(heads)
    account = ledger.find(task.spec.dataset)
    if account is None:
        message = f"the ledger does not know the data of {task.spec.dataset}."
        raise LedgerError(message, remedy="Wait until it was inspected again.")
    if renew:
        plan = ledger.plan(task.spec, public_size(size))  # as the trainer will
        ledger.admit(account, job, plan)
    return ledger.state(account, job)


def _kept(promise: Promise) -> Admitted:
    told = promise.statement
    total = amount(told.spent_by_job + max(0.0, told.reserved_for_job))
    message = f"The ledger keeps ε = {total} for this job, with what it has spent of that."
    finding = Finding("Admitted", True, "BudgetReserved", message)
    return Admitted(finding=finding, statement=told, again=_NOW_AND_THEN)


def _not_now(document: Document, known: Promise | None, error: ConsiliaError) -> Admitted:
    """Who was let in goes on: the trainer itself waits for the ledger before it spends anything."""
    if holds(document.get("status", {}).get("conditions", ()), "Admitted"):
        finding = Finding("Admitted", True, "BudgetReserved", "The ledger keeps what this job needs.")
        return Admitted(finding=finding, statement=known.statement if known else None, again=_SOON)
    if isinstance(error, LedgerUnavailableError):
        finding = Finding("Admitted", False, "LedgerUnavailable", f"It is asked again soon: {error}")
        return Admitted(finding=finding, again=_SOON)
    return Admitted(finding=Finding("Admitted", False, "LedgerRefused", str(error)), again=_NOW_AND_THEN)


async def release(
    context: Context, key: Key, task: HospitalTask | None, reason: Literal["Finished", "Withdrawn"]
) -> Statement | None:
    """Have what was kept for a job free again; where the account stands then, if the ledger says so.

    If it does not, its lease ends by itself.
    """
    promise = context.ledgers.promises.pop(key, None)
    if promise:
        dataset, job = promise.dataset, promise.job
    elif task:
        dataset, job = task.spec.dataset, name_on_log(task.spec.job.name, task.spec.job.uid)
    else:
        return None
    questions = partial(_give_back, dataset=dataset, job=job, reason=reason)
    try:
        statement = await context.ledgers.ask(key.namespace, questions)
    except ConsiliaError as error:
        logger.warning("%s: what the ledger keeps for it is free in a day: %s", key, error)
        return replace(promise.statement, reserved_for_job=0.0) if promise else None
    context.look_at(DATASET, key.namespace, dataset)
    return statement


def _give_back(
    ledger: PrivacyLedger, *, dataset: str, job: str, reason: Literal["Finished", "Withdrawn"]
) -> Statement | None:
    account = ledger.find(dataset)
    if account is None:
        return None
    ledger.give_back(account, job, reason)
    return ledger.state(account, job)
