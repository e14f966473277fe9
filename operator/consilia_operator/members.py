"""A Hospital in a cluster of its own: admitted with its request, heard of over the log, expelled at once."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from consilia.certificates import requested_key
from consilia.enrolment.papers import JoinBundle
from consilia.errors import ConsiliaError, IdentityError
from consilia.wire.correspondence import Report
from consilia_operator.conditions import Finding, condition, holds, moment, timestamp
from consilia_operator.context import Context
from consilia_operator.correspondence.hub import hub_identity, silent
from consilia_operator.errors import ApiRefused, Conflict
from consilia_operator.kinds import CONFIG_MAP, HOSPITAL
from consilia_operator.manifests.aggregator import AGGREGATOR
from consilia_operator.names import HOSPITAL as HOSPITAL_LABEL
from consilia_operator.names import child, labels, owner_reference
from consilia_operator.store import Document, Key
from consilia_operator.transport.interface import NotReady
from consilia_operator.transport.membership import as_bundle

logger = logging.getLogger("consilia.operator.hospitals")

BUNDLE_FILE = "bundle.json"
_WAITING, _CALM = 15.0, 60.0
"""After so long one that waits is looked at again, and one that is admitted; what it tells wakes it before."""
_NOTED_EVERY, _NOTES = 60.0, 15
"""The status does not change with every heartbeat, in seconds; and of all hospitals so many change in a second at most:
with thousands of them etcd would do nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look has found."""

    findings: Sequence[Finding]
    told: Mapping[str, Any] = field(default_factory=dict)
    """By the hospital, for its status."""
    again: float = _WAITING
    """When to look again, in seconds, unless it tells something else before, or falls silent."""


async def look(context: Context, document: Document) -> Look:
    """Whether it has joined and is there, and what it told for its status."""
    namespace, name = document["metadata"]["namespace"], document["metadata"]["name"]
    if refused := _refused(context, document):
        if not document["spec"].get("accepted"):
            await context.transport.expel(namespace, name)
        return Look(findings=[refused, Finding("Available", False, refused.reason, "It is not admitted.")])
    try:
        waiting = await _admit(context, document)
    except IdentityError as error:
        waiting = Finding("Joined", False, "RequestRefused", str(error))
    except Conflict:
        raise
    except ApiRefused as error:
        message = f"The API server does not let the operator admit it: {error}"
        waiting = Finding("Joined", False, "Refused", message)
    if waiting:
        return Look(findings=[waiting, Finding("Available", False, waiting.reason, "It is not admitted yet.")])
    heard = context.desks.report(namespace, name)
    if heard is None:
        return Look(findings=_silent(document), again=_CALM)
    report, at = heard
    await _take_request(context, document, report)
    joined = Finding("Joined", True, "Reported", "It follows this hub.")
    told = _told(document, report) | {"lastHeartbeat": _noted(context, document, report, at)}
    return Look(findings=[joined, _available(report, at)], told=told, again=_CALM)


async def let_go(context: Context, key: Key) -> None:
    """A Hospital that is no more has no rights, either; one that went while no operator ran is not known here."""
    if context.desks.hands_out(key.namespace, key.name):
        await context.transport.expel(key.namespace, key.name)
        context.desks.forget(key.namespace, key.name)


def _refused(context: Context, document: Document) -> Finding | None:
    """Why it takes no part, whoever it is."""
    name = document["metadata"]["name"]
    if name == AGGREGATOR:
        message = f"No hospital can be called {name}: every job's aggregator is. Make a Hospital of another name."
        return Finding("Joined", False, "NameTaken", message)
    if not document["spec"].get("accepted"):
        return Finding("Joined", False, "NotAccepted", "It is not admitted: spec.accepted is false.")
    namespace = document["metadata"]["namespace"]
    if twin := context.twins.older(document, lambda: context.store.all(HOSPITAL, namespace)):
        message = f"Hospital {twin} has the same key or cluster: one hospital is admitted under one name. Delete one."
        return Finding("Joined", False, "AdmittedTwice", message)
    return None


async def _admit(context: Context, document: Document) -> Finding | None:
    """See that it may correspond, and that its bundle is there to be handed over; why not yet."""
    metadata, spec = document["metadata"], document["spec"]
    namespace, hospital = metadata["namespace"], metadata["name"]
    before = await _before(context, document)
    request = spec["certificateRequest"].encode()
    certificate = before.certificate.encode() if before else None
    found = await context.transport.admit(namespace, hospital, request, certificate)
    if isinstance(found, NotReady):
        return Finding("Joined", False, found.reason, found.message)
    identity = await hub_identity(context, namespace)
    bundle = JoinBundle.model_validate(
        {
            "hub": namespace,
            "hub_key": identity.public().text(),
            "hospital": hospital,
            "public_key": spec["publicKey"],
            **as_bundle(found),
        }
    ).signed_by(identity)
    await context.applying.apply(_paper(document, bundle))
    context.desks.hand_out(namespace, hospital, bundle.model_dump(mode="json", by_alias=True, exclude_none=True))
    return None


async def _before(context: Context, document: Document) -> JoinBundle | None:
    """What it was handed last; only an operator that was started since asks the API server."""
    metadata = document["metadata"]
    if handed := context.desks.of(metadata["namespace"]).bundles.get(metadata["name"]):
        return JoinBundle.model_validate(handed)
    there = await context.api.get(CONFIG_MAP, metadata["namespace"], bundle_name(metadata["name"]))
    return _bundle(there)


async def _take_request(context: Context, document: Document, report: Report) -> None:
    """A hospital whose certificate ends soon asks for the next one: what it signed counts as said by it."""
    asked, spec = report.certificate_request, document["spec"]
    if not asked or asked == spec["certificateRequest"]:
        return
    metadata = document["metadata"]
    try:
        requested_key(asked.encode(), metadata["name"])
    except IdentityError as error:
        logger.warning("Hospital %s/%s: %s", metadata["namespace"], metadata["name"], error)
        return
    patch = {"spec": {"certificateRequest": asked}}
    await context.api.merge(HOSPITAL, metadata["namespace"], metadata["name"], patch)


def _bundle(config_map: Document | None) -> JoinBundle | None:
    try:
        return JoinBundle.read(config_map["data"][BUNDLE_FILE]) if config_map else None
    except (KeyError, ConsiliaError):
        return None


def bundle_name(hospital: str) -> str:
    """The ConfigMap with what a hospital is to be handed."""
    return child(hospital, "join-bundle")


def _paper(document: Document, bundle: JoinBundle) -> Document:
    metadata = {
        "name": bundle_name(document["metadata"]["name"]),
        "namespace": document["metadata"]["namespace"],
        "labels": labels("identity") | {HOSPITAL_LABEL: document["metadata"]["name"]},
        "ownerReferences": [owner_reference(document)],
    }
    data = {BUNDLE_FILE: bundle.text()}
    return {"apiVersion": "v1", "kind": CONFIG_MAP.kind, "metadata": metadata, "data": data}


def _silent(document: Document) -> list[Finding]:
    """Nothing was heard since this process began to listen."""
    before = document.get("status", {}).get("conditions", ())
    if holds(before, "Joined"):
        kept = condition(before, "Available")
        available = Finding("Available", False, "Silent", "It was not heard of since the hub's operator was started.")
        return [Finding("Joined", True, "Reported", "It follows this hub."), available] if kept else []
    metadata = document["metadata"]
    where = f"-n {metadata['namespace']} get configmap {bundle_name(metadata['name'])}"
    message = f"It is admitted; hand it its bundle: kubectl {where} -o jsonpath='{{.data.bundle\\.json}}'"
    return [
        Finding("Joined", False, "BundleReady", message),
        Finding("Available", False, "BundleReady", "It was never heard of."),
    ]


def _available(report: Report, at: float) -> Finding:
    if not silent(report, at):
        return Finding("Available", True, "Heard", "It is heard of regularly.")
    since = timestamp(datetime.fromtimestamp(at, UTC))
    return Finding("Available", False, "Silent", f"It was last heard of at {since}.")


def _told(document: Document, report: Report) -> dict[str, Any]:
    """For its status: data sets, GPUs, version; of its ledger the newest end that was ever told."""
    before = document.get("status", {})
    status: dict[str, Any] = {
        "publicKey": document["spec"]["publicKey"],
        "operatorVersion": report.version,
        "datasets": [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in report.datasets],
        "gpus": [each.model_dump(mode="json", by_alias=True) for each in report.gpus],
    }
    heads = [before["ledger"]] if "ledger" in before else []
    if report.ledger:
        heads.append({"entries": report.ledger.entries, "head": report.ledger.digest})
    if heads:
        status["ledger"] = max(heads, key=lambda head: int(head["entries"]))
    return status


def _noted(context: Context, document: Document, report: Report, at: float) -> str:
    """When it was heard of: about when as long as it is there, and exactly when it is not."""
    metadata, before = document["metadata"], document.get("status", {}).get("lastHeartbeat")
    every = max(_NOTED_EVERY, len(context.desks.of(metadata["namespace"]).bundles) / _NOTES)
    if before and not silent(report, at) and 0 <= at - moment(before).timestamp() < every:
        return str(before)
    return timestamp(datetime.fromtimestamp(at, UTC))
