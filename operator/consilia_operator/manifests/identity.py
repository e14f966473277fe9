"""A hospital's key pair: a Secret in its namespace, made once, and the hospital's to keep."""

from typing import Any

from consilia.enrolment.keeping import identity_files
from consilia.wire.identity import Identity
from consilia_operator.kinds import SECRET
from consilia_operator.manifests.aggregator import encoded
from consilia_operator.names import HOSPITAL, HUB_IDENTITY, IDENTITY, labels


def new_identity(namespace: str) -> dict[str, Any]:
    """The Secret, with a new key."""
    metadata = {"name": IDENTITY, "namespace": namespace, "labels": labels("identity") | {HOSPITAL: namespace}}
    files = identity_files(Identity.generate(namespace))
    return {"apiVersion": SECRET.api_version, "kind": SECRET.kind, "metadata": metadata, "type": "Opaque",
            "immutable": True, "data": encoded(files)}  # fmt: skip


def new_hub_identity(namespace: str) -> dict[str, Any]:
    """The Secret with what the hub of a namespace signs its letters to hospitals with, with a new key."""
    metadata = {"name": HUB_IDENTITY, "namespace": namespace, "labels": labels("identity")}
    files = identity_files(Identity.generate(namespace))
    return {"apiVersion": SECRET.api_version, "kind": SECRET.kind, "metadata": metadata, "type": "Opaque",
            "immutable": True, "data": encoded(files)}  # fmt: skip
