"""A Dataset: whether the data is where it says. The hospital's side."""

from typing import Any

from pydantic import ValidationError

from consilia.api import Dataset
from consilia.api.support import unsupported
from consilia_operator.conditions import Finding, in_words, settle
from consilia_operator.context import Context, now, write_status
from consilia_operator.kinds import PVC
from consilia_operator.store import Document, Key

_LOOK_AGAIN = 15.0


async def reconcile(context: Context, key: Key) -> float | None:
    """One look at one Dataset."""
    document = context.store.get(key)
    if document is None or document["metadata"].get("deletionTimestamp"):
        return None
    finding = await look(context, document)
    before, generation = document.get("status", {}), document["metadata"]["generation"]
    conditions = settle(before.get("conditions", ()), [finding], generation, now())
    status: dict[str, Any] = before | {"observedGeneration": generation, "conditions": conditions}
    await write_status(context, document, status)
    return None if finding.holds else _LOOK_AGAIN


async def look(context: Context, document: Document) -> Finding:
    """Whether it can be used."""
    try:
        dataset = Dataset.model_validate({name: value for name, value in document.items() if name != "status"})
    except ValidationError as error:
        return Finding("Ready", False, "Invalid", f"The spec is not valid: {error.errors()[0]['msg']}. Correct it.")
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
