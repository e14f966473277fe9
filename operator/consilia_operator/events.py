"""Events for `kubectl describe`: one for each turn of a condition, with the condition's reason."""

import logging
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from consilia_operator.api_server import ApiServer
from consilia_operator.errors import ApiRefused, ApiUnavailable
from consilia_operator.kinds import EVENT

logger = logging.getLogger("consilia.operator.events")

REPORTER = "consilia.dev/operator"
_LONGEST = 1024
"""Of a note, in bytes."""
_WARNINGS = {
    ("Accepted", "False"), ("Failed", "True"), ("Denied", "True"), ("Ready", "False"),
    ("Joined", "False"), ("TransportReady", "False"), ("Tampered", "True"), ("Exhausted", "True"),
}  # fmt: skip
"""Conditions, by type and status, that somebody should look at."""


def event(regarding: Mapping[str, Any], condition: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The Event that a condition turned (events.k8s.io/v1). Pure but for its random name."""
    metadata = regarding["metadata"]
    warning = (condition["type"], condition["status"]) in _WARNINGS
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"name": f"{metadata['name']}.{secrets.token_hex(8)}", "namespace": metadata["namespace"]},
        "eventTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": REPORTER,
        "reportingInstance": "consilia-operator",
        "action": condition["type"],
        "reason": condition["reason"],
        "type": "Warning" if warning else "Normal",
        "note": _cut(f"{condition['type']} is {condition['status']}. {condition.get('message', '')}".strip()),
        "regarding": {
            "apiVersion": regarding["apiVersion"],
            "kind": regarding["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
    }


def _cut(note: str) -> str:
    return note.encode()[:_LONGEST].decode(errors="ignore")


async def post(api: ApiServer, regarding: Mapping[str, Any], condition: Mapping[str, Any], now: datetime) -> None:
    """Post it; an Event that cannot be posted is no reason to stop."""
    try:
        await api.create(event(regarding, condition, now))
    except (ApiRefused, ApiUnavailable) as error:
        logger.warning("cannot post the event %s: %s", condition["reason"], error)
