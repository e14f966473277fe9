"""A Hospital: one in a cluster of its own is looked at by `members`, one in the hub's own cluster here.

The latter is a namespace: whether it consents, and the key that it shows.
"""

from http import HTTPStatus
from typing import Any

from consilia.errors import IdentityError
from consilia_operator import members
from consilia_operator.accounts import told_heads
from consilia_operator.conditions import Finding, settle, timestamp
from consilia_operator.context import Context, now, write_status
from consilia_operator.correspondence.hub import is_member
from consilia_operator.errors import ApiRefused
from consilia_operator.identities import shown_key
from consilia_operator.kinds import DATASET, NAMESPACE
from consilia_operator.manifests.aggregator import AGGREGATOR
from consilia_operator.names import HUB
from consilia_operator.store import Document, Key

_LOOK_AGAIN = 30.0


async def reconcile(context: Context, key: Key) -> float | None:
    """One look at one Hospital."""
    document = context.store.get(key)
    if document is None or document["metadata"].get("deletionTimestamp"):
        context.metrics.forget_hospital(key.namespace, key.name)
        await members.let_go(context, key)
        return None
    before, generation = document.get("status", {}), document["metadata"]["generation"]
    status: dict[str, Any] = before | {"observedGeneration": generation}
    if is_member(document):
        found = await members.look(context, document)
        _tell_prometheus(context, document, found)
        conditions = settle(before.get("conditions", ()), found.findings, generation, now())
        await write_status(context, document, {**status, **found.told, "conditions": conditions})
        return found.again
    joined = await consent(context, document)
    if joined.holds:
        shown = await show_key(context, key.name)
        joined = shown if isinstance(shown, Finding) else compare(document, shown)
        if isinstance(shown, str):
            status |= {"publicKey": shown, "datasets": _datasets(context, key.name)}
            status.setdefault("lastHeartbeat", timestamp(now()))
            if head := _head(context, key.name, before):
                status["ledger"] = head
    available = Finding("Available", joined.holds, joined.reason, "It is a namespace of this cluster.")
    status["conditions"] = settle(before.get("conditions", ()), [joined, available], generation, now())
    await write_status(context, document, status)
    return None if joined.holds else _LOOK_AGAIN


def _tell_prometheus(context: Context, document: Document, found: members.Look) -> None:
    """Whether it is heard of; who was expelled is not waited for."""
    namespace, name = document["metadata"]["namespace"], document["metadata"]["name"]
    if not document["spec"].get("accepted"):
        context.metrics.forget_hospital(namespace, name)
        return
    heard = any(each.type == "Available" and each.holds for each in found.findings)
    context.metrics.hospital_available.labels(namespace, name).set(heard)


async def consent(context: Context, hospital: Document) -> Finding:
    """Whether the namespace of the hospital's name agrees to be asked by this hub.

    An installation for some namespaces may not be let see their labels; being on its list is the consent then.
    """
    name, hub = hospital["metadata"]["name"], hospital["metadata"]["namespace"]
    if name == AGGREGATOR:
        message = f"No hospital can be called {name}: every job's aggregator is. Make a Hospital of another name."
        return Finding("Joined", False, "NameTaken", message)
    listed = context.settings.namespaces
    if listed and name not in listed:
        message = f"Namespace {name} is not on the operator's list. Add it to the chart's watchNamespaces."
        return Finding("Joined", False, "NamespaceNotListed", message)
    try:
        namespace = await _namespace(context, name)
    except ApiRefused as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
        return Finding("Joined", True, "NamespaceListed", f"Namespace {name} is on the operator's list.")
    agreed = namespace["metadata"].get("labels", {}).get(HUB) if namespace else None
    if agreed == hub:
        return Finding("Joined", True, "NamespaceConsents", f"Namespace {name} consents to jobs of {hub}.")
    told = f"Namespace {name} consents to {agreed}, not to {hub}" if agreed else f"Namespace {name} does not consent"
    message = f"{told}, or does not exist. Whoever owns it says: kubectl label namespace {name} {HUB}={hub} --overwrite"
    return Finding("Joined", False, "NamespaceDoesNotConsent", message)


async def _namespace(context: Context, name: str) -> Document | None:
    if context.settings.namespaces:
        return await context.api.get(NAMESPACE, "", name)
    return context.store.get(Key(NAMESPACE, "", name))


async def show_key(context: Context, namespace: str) -> str | Finding:
    """The hospital's public key, or why it shows none."""
    try:
        return await shown_key(context.api, namespace)
    except IdentityError as error:
        return Finding("Joined", False, "IdentityDamaged", f"It cannot show its key: {error}")


def compare(hospital: Document, shown: str) -> Finding:
    """Whether the key is the one that the hub's owner pinned, if one is pinned."""
    pinned = hospital.get("spec", {}).get("publicKey")
    if pinned and pinned.strip() != shown.strip():
        message = f"Namespace {hospital['metadata']['name']} shows another key than spec.publicKey. Ask the hospital."
        return Finding("Joined", False, "KeyMismatch", message)
    return Finding("Joined", True, "KeyShown", "It showed its key.")


def _datasets(context: Context, namespace: str) -> list[dict[str, Any]]:
    found = sorted(context.store.all(DATASET, namespace), key=lambda each: str(each["metadata"]["name"]))
    return [{"name": each["metadata"]["name"], "unit": each["spec"].get("unit", "Record")} for each in found][:256]


def _head(context: Context, namespace: str, before: Document) -> Document | None:
    """The newest end of the hospital's ledger that was ever seen: it stays here when a Dataset is deleted."""
    told = [{"entries": each.entries, "head": each.digest} for each in told_heads(context, namespace)]
    seen = [before["ledger"], *told] if "ledger" in before else told
    return max(seen, key=lambda head: int(head["entries"]), default=None)
