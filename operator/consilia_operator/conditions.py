"""Conditions as Kubernetes' API conventions define them: set, compared, never turned back once final. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from consilia.api.problem import Problem
from consilia.privacy.mechanisms import rounded_down, rounded_up

Document = Mapping[str, Any]
_LONGEST_MESSAGE, _LONGEST_AMOUNT = 1024, 32
_LARGEST = 1e99
FINAL = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a condition should say now."""

    type: str
    holds: bool | None
    """None: not known."""
    reason: str
    message: str = ""

    @property
    def status(self) -> str:
        """As Kubernetes writes it."""
        return {True: "True", False: "False", None: "Unknown"}[self.holds]


def timestamp(moment: datetime) -> str:
    """As Kubernetes writes a time: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """The time that Kubernetes wrote."""
    return datetime.fromisoformat(text)


def condition(conditions: Iterable[Document], kind: str) -> Document | None:
    """The condition of that type."""
    return next((each for each in conditions if each["type"] == kind), None)


def holds(conditions: Iterable[Document], kind: str) -> bool:
    """Whether the condition of that type is there and True."""
    found = condition(conditions, kind)
    return found is not None and found["status"] == "True"


def finished(conditions: Sequence[Document]) -> bool:
    """Whether a final condition holds: from then on nothing is decided any more."""
    return any(holds(conditions, kind) for kind in FINAL)


def settle(
    before: Sequence[Document], found: Iterable[Finding], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """The conditions after the `found` ones are written over those `before`, in the order of their first appearance.

    lastTransitionTime changes with the status only. A final condition that holds stays as it is.
    """
    result = {each["type"]: dict(each) for each in before}
    for finding in found:
        old = result.get(finding.type)
        if old and finding.type in FINAL and old["status"] == "True":
            continue
        same = old is not None and old["status"] == finding.status
        result[finding.type] = {
            "type": finding.type,
            "status": finding.status,
            "reason": finding.reason,
            "message": _cut(finding.message),
            "lastTransitionTime": old["lastTransitionTime"] if old and same else timestamp(now),
            "observedGeneration": generation,
        }
    return list(result.values())


def amount(value: float, *, up: bool = True) -> str:
    """As a status has room for it: 32 characters, exponents of two digits. What is larger counts as the largest."""
    if not value < _LARGEST:
        return f"{_LARGEST:.0e}".replace("+", "")
    text = rounded_up(value) if up else rounded_down(value)
    if len(text) <= _LONGEST_AMOUNT:
        return text
    if value < 1 / _LARGEST:
        return f"{1 / _LARGEST:.0e}" if up else "0"
    return f"{Decimal(text).normalize():e}"


def in_words(problems: Sequence[Problem]) -> str:
    """What is wrong with an object, and what to do: the first few, which a message has room for."""
    rules = [each.rule if each.path in each.rule else f"{each.path} {each.rule}" for each in problems[:4]]
    return " ".join(f"{rule}. {each.remedy}" for rule, each in zip(rules, problems, strict=False))


def _cut(message: str) -> str:
    return message if len(message) <= _LONGEST_MESSAGE else message[: _LONGEST_MESSAGE - 1] + "…"


def confirmed(status: Document, generation: int) -> dict[str, Any]:
    """A final status, for a later generation of the object: `kubectl wait` believes no condition of an older one."""
    conditions = [{**each, "observedGeneration": generation} for each in status.get("conditions", ())]
    return {**status, "observedGeneration": generation, "conditions": conditions}


def turned(before: Sequence[Document], after: Sequence[Document]) -> list[Document]:
    """The conditions whose status or reason is another than before: what an Event is worth."""
    old = {each["type"]: (each["status"], each["reason"]) for each in before}
    return [each for each in after if old.get(each["type"]) != (each["status"], each["reason"])]
