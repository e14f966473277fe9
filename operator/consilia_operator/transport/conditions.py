"""What other operators say of their objects. Pure."""

from collections.abc import Mapping
from typing import Any


def is_true(document: Mapping[str, Any], kind: str) -> bool:
    """Whether the condition holds, of the object as it is asked for now."""
    found = _condition(document, kind)
    seen = document.get("status", {}).get("observedGeneration")
    current = seen is None or seen >= document["metadata"].get("generation", 0)
    return current and found is not None and found.get("status") == "True"


def condition_message(document: Mapping[str, Any], kind: str) -> str:
    """What is said about it; empty if nothing is."""
    found = _condition(document, kind) or {}
    return str(found.get("message") or found.get("reason") or "")


def _condition(document: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    conditions = (document.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == kind), None)
