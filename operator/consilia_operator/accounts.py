"""A Dataset's account in the hospital's ledger: inspected, compared with what others have seen, budgeted, told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import isfinite
from typing import Any

from consilia.api import Dataset
from consilia.api.dataset import PrivacyBudget
from consilia.errors import BudgetError, IdentityError, LedgerError, LedgerRefusedError, LedgerUnavailableError
from consilia.ledger.chain import Head
from consilia.ledger.content import Content
from consilia.ledger.interface import Budget, PrivacyLedger, Statement, agreed
from consilia.wire.identity import digest
from consilia_operator import inspections, pods
from consilia_operator.conditions import Finding, amount, condition
from consilia_operator.context import Context
from consilia_operator.errors import ApiRefused, Conflict
from consilia_operator.kinds import DATASET, DEPLOYMENT, HOSPITAL, POD
from consilia_operator.manifests import pod
from consilia_operator.manifests.ledger import COMPONENT_NAME
from consilia_operator.names import COMPONENT, LEDGER
from consilia_operator.store import Document, Key

_SOON, _NOW_AND_THEN = 3.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What was found of it."""

    findings: tuple[Finding, ...]
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the Dataset's status; what is not known now is left out."""
    again: float | None = _NOW_AND_THEN


@dataclass(frozen=True, slots=True)
class _Told:
    """What the ledger said."""

    statement: Statement | None
    """None: it does not know the data yet."""
    refused: BudgetError | None = None
    """Why it does not take the Dataset's budget."""


def needed(context: Context, dataset: Dataset, namespace: str) -> bool:
    """Whether the Dataset has an account: where one of a hospital has, all have, under whatever name they come."""
    spec = dataset.spec
    asked = spec.public_size is not None or spec.privacy_budget is not None
    return asked or context.store.get(Key(DEPLOYMENT, namespace, LEDGER)) is not None


def limited(dataset: Dataset, status: Mapping[str, Any]) -> bool:
    """Whether there is a budget: the Dataset's, or one that the ledger remembers from before."""
    return dataset.spec.privacy_budget is not None or "available" in status


async def look(context: Context, dataset: Dataset, document: Document, described: Finding) -> Account:
    """One look at the account of a Dataset that is there as `described`."""
    namespace = document["metadata"]["namespace"]
    inspection = inspections.observe(context, dataset, document)
    known = inspection is None or inspection.done
    questions = partial(_questions, dataset=dataset, heads=seen_heads(context, namespace), known=known)
    patient = partial(_patient, document, described, known)
    try:
        await context.ledgers.provide(namespace)
        told = await context.ledgers.ask(namespace, questions)
        if inspection and told.statement is None:
            # An older copy of the ledger, that somebody accepted, may know less than was inspected.
            found = await inspections.inspect(context, inspection, anew=known)
            again = _NOW_AND_THEN if found.reason == "InspectionFailed" else _SOON
            return Account(findings=(_whole(), found if known else patient(found)), again=again)
    except LedgerUnavailableError as error:
        return Account(findings=(patient(_not_now(context, namespace, error)),), again=_SOON)
    except (ApiRefused, IdentityError, LedgerRefusedError) as error:
        if isinstance(error, Conflict):
            raise
        refused = Finding("Ready", False, "LedgerRefused", f"The hospital's ledger cannot be used: {error}")
        return Account(findings=(patient(refused),))
    except LedgerError as error:
        return Account(findings=_tampered(error))
    assert told.statement is not None, "known data has an account"
    return _account(dataset, told.statement, told.refused, described)


def _questions(ledger: PrivacyLedger, *, dataset: Dataset, heads: Sequence[Head], known: bool) -> _Told:
    """Nothing is written into a ledger that has lost what others have seen."""
    ledger.compare(heads)
    if not known:
        return _Told(None)
    name, refused = dataset.metadata.name, None
    account = ledger.find(name)
    if account is None:
        if pod.data(dataset.spec.source) is not None:
            return _Told(None)
        account = ledger.register(name, _by_name(name), dataset.spec.unit)
    if budget := dataset.spec.privacy_budget:
        try:
            ledger.set_budget(account, Budget.of(budget))
        except BudgetError as error:
            refused = error
    return _Told(ledger.state(account), refused)


def _by_name(dataset: str) -> Content:
    """What data is known by that a task brings along: its name, until a trainer has seen it."""
    return Content(digest(f"builtin\n{dataset}".encode()))


def _patient(document: Document, described: Finding, known: bool, found: Finding) -> Finding:
    """What is not known for the moment takes nothing back: a Dataset that was ready, of the same data, stays so."""
    ready = condition(document.get("status", {}).get("conditions", ()), "Ready")
    if ready is None or ready["status"] != "True" or not described.holds:
        return found
    return described if known or ready.get("observedGeneration") == document["metadata"]["generation"] else found


def _not_now(context: Context, namespace: str, error: LedgerUnavailableError) -> Finding:
    newest = pods.newest(list(context.store.matching(POD, namespace, {COMPONENT: COMPONENT_NAME})))
    trouble = pods.trouble(newest) if newest else None
    message = f"{error} {trouble.message}" if trouble else f"It goes on by itself: {error}"
    return Finding("Ready", False, "LedgerUnavailable", message)


def _whole() -> Finding:
    return Finding("Tampered", False, "LedgerWhole", "The ledger holds all that others have seen of it.")


def _tampered(error: LedgerError) -> tuple[Finding, ...]:
    message = f"Nothing is admitted, and what runs is stopped: {error}"
    return Finding("Tampered", True, "LedgerChanged", message), Finding("Ready", False, "LedgerChanged", message)


def _account(dataset: Dataset, told: Statement, refused: BudgetError | None, described: Finding) -> Account:
    ready = described if dataset.spec.source.builtin is not None else _ready()
    if refused:
        message = f"The budget is larger than the ledger's: {refused} {_what_to_approve(dataset.spec.privacy_budget)}"
        ready = Finding("Ready", False, "BudgetNotApproved", message)
    if told.unit != dataset.spec.unit:
        message = f"The ledger counts each {told.unit} of this data. Make the Dataset anew with unit: {told.unit}."
        ready = Finding("Ready", False, "UnitDiffers", message)
    return Account(findings=(_whole(), ready, _exhausted(told)), figures=figures(dataset.metadata.name, told))


def _what_to_approve(budget: PrivacyBudget | None) -> str:
    if budget and budget.approval and not agreed(budget):
        asked, approved = budget.epsilon, budget.approval.epsilon
        return f"Its approval is of ε = {approved}, not of {asked}: have both say the same."
    return "Set spec.privacyBudget.approval, or lower it."


def _ready() -> Finding:
    return Finding("Ready", True, "Inspected", "The ledger knows the data by what is in it.")


def _exhausted(told: Statement) -> Finding:
    if told.gap:
        message = "The ledger has lost entries, and a person accepted it: a budget must be approved anew."
        return Finding("Exhausted", True, "LedgerGap", message)
    if told.exhausted:
        message = f"The budget of ε = {told.epsilon:g} does not afford what was asked last. It is spent for good."
        return Finding("Exhausted", True, "BudgetExhausted", message)
    return Finding("Exhausted", False, "BudgetLeft", "Nothing was refused yet.")


def figures(name: str, told: Statement) -> dict[str, Any]:
    """The account in the Dataset's status: nobody is told less than was spent, or more than is left."""
    found: dict[str, Any] = {"ledgerEntries": told.head.entries, "ledgerHead": told.head.digest}
    if name in told.datasets:
        found["fingerprint"] = told.fingerprints[told.datasets.index(name)]
    amounts = {"spent": amount(told.spent), "reserved": amount(max(0.0, told.reserved))} if _finite(told) else {}
    if told.epsilon is not None:
        amounts["budget"] = amount(told.epsilon, up=False)
    if told.available is not None:
        amounts["available"] = amount(told.available, up=False)
    return found | amounts


def _finite(told: Statement) -> bool:
    return isfinite(told.spent) and isfinite(told.reserved)


def seen_heads(context: Context, namespace: str) -> list[Head]:
    """Where the ledger ended when it was looked at before, as the Datasets and the hub's Hospitals keep it."""
    found = set(told_heads(context, namespace))
    hospitals = (each for each in context.store.all(HOSPITAL) if each["metadata"]["name"] == namespace)
    kept = (each.get("status", {}).get("ledger") for each in hospitals)
    found |= {Head(each["entries"], each["head"]) for each in kept if each}
    return sorted(found, key=lambda head: head.entries)


def told_heads(context: Context, namespace: str) -> list[Head]:
    """Where the ledger ended by the statuses of its Datasets."""
    statuses = (each.get("status", {}) for each in context.store.all(DATASET, namespace))
    return [Head(each["ledgerEntries"], each["ledgerHead"]) for each in statuses if "ledgerHead" in each]
