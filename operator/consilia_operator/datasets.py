"""A Dataset: whether the data is where it says, and where its account in the ledger stands. The hospital's side."""

from time import monotonic
from typing import Any

from pydantic import ValidationError

from consilia.api import Dataset
from consilia.api.support import unsupported
from consilia_operator import accounts
from consilia_operator.accounts import Account
from consilia_operator.conditions import Finding, holds, in_words, settle
from consilia_operator.context import Context, now, write_status
from consilia_operator.kinds import PVC
from consilia_operator.store import Document, Key

_LOOK_AGAIN = 15.0
_CALM = 2.0
"""So long a Dataset that has not changed is not looked at again, in seconds."""


async def reconcile(context: Context, key: Key) -> float | None:
    """One look at one Dataset."""
    document = context.store.get(key)
    if document is None or document["metadata"].get("deletionTimestamp"):
        return None
    if (left := _just_looked(context, document)) > 0:
        return left
    found = await look(context, document)
    before, generation = document.get("status", {}), document["metadata"]["generation"]
    conditions = settle(before.get("conditions", ()), found.findings, generation, now())
    status: dict[str, Any] = before | {"observedGeneration": generation, "conditions": conditions, **found.figures}
    await write_status(context, document, status)
    return found.again


def _just_looked(context: Context, document: Document) -> float:
    """In how many seconds a Dataset that has not changed is looked at again: every message of a trainer wakes it."""
    before, metadata, moment = document.get("status", {}), document["metadata"], monotonic()
    last = context.remembered.recall(metadata["uid"], "account")
    unchanged = before.get("observedGeneration") == metadata["generation"] and holds(
        before.get("conditions", ()), "Ready"
    )
    if last is None or not unchanged or moment - last >= _CALM:
        context.remembered.keep(metadata["uid"], "account", moment)
        return 0.0
    return float(_CALM - (moment - last))


async def look(context: Context, document: Document) -> Account:
    """Whether it can be used, and what was spent of it."""
    dataset = parse(document)
    if isinstance(dataset, Finding):
        return Account(findings=(dataset,), again=_LOOK_AGAIN)
    described = await describe(context, dataset, document)
    if described.holds and accounts.needed(context, dataset, document["metadata"]["namespace"]):
        return await accounts.look(context, dataset, document, described)
    return Account(findings=(described,), again=None if described.holds else _LOOK_AGAIN)


def parse(document: Document) -> Dataset | Finding:
    """The Dataset as a typed object, or why it is none."""
    try:
        return Dataset.model_validate({name: value for name, value in document.items() if name != "status"})
    except ValidationError as error:
        return Finding("Ready", False, "Invalid", f"The spec is not valid: {error.errors()[0]['msg']}. Correct it.")


async def describe(context: Context, dataset: Dataset, document: Document) -> Finding:
    """Whether the data is where it says."""
    if problems := unsupported(dataset, "Cluster"):
        return Finding("Ready", False, "NotSupported", in_words(problems))
    claim = dataset.spec.source.persistent_volume_claim
    if claim is None:
        return Finding("Ready", True, "Described", "It is looked for when a trainer starts.")
    found = await context.api.get(PVC, document["metadata"]["namespace"], claim.claim_name)
    if found is None:
        message = f"There is no PersistentVolumeClaim {claim.claim_name} here. Make it, or correct spec.source."
        return Finding("Ready", False, "ClaimMissing", message)
    if found.get("status", {}).get("phase") == "Lost":
        message = f"The volume of PersistentVolumeClaim {claim.claim_name} is gone. Restore it."
        return Finding("Ready", False, "ClaimLost", message)
    return Finding("Ready", True, "ClaimFound", f"PersistentVolumeClaim {claim.claim_name} is there.")
