"""Rules that types and bounds cannot say. Each is written once: as CEL for Kubernetes, as Python for everybody else."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

T = TypeVar("T")

VALIDATIONS = "x-kubernetes-validations"
FIXED = "cannot be changed"
"""What the message of an `unchanged` field says."""

BROKEN_RULE = "broken_rule"
"""The type of the pydantic errors that stand for broken rules; their context holds the rules under `broken`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What must hold of one value: an object, or a scalar when used inside `Annotated`."""

    cel: str
    """The condition for the API server; `self` is the value."""
    holds: Callable[[Any], bool]
    """The same condition in Python."""
    message: str
    """What is wrong, in a person's words."""
    remedy: str
    """What to do about it, one imperative clause."""
    field: str = ""
    """The field below the value that the error points at, by its name in YAML; empty for the value itself."""

    def as_json(self) -> dict[str, str]:
        """One entry of `x-kubernetes-validations`."""
        place = {"fieldPath": f".{self.field}"} if self.field else {}
        return {"rule": self.cel, "message": f"{self.message}; {self.remedy}", **place}

    def check(self, value: T) -> T:
        """The value itself, if the rule holds."""
        return obey((self,), value)

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        result = handler(schema)
        return {**result, VALIDATIONS: [*result.get(VALIDATIONS, []), self.as_json()]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """What must hold between an object and what it was before an update."""

    cel: str
    """The condition for the API server, over `self` and `oldSelf`."""
    holds: Callable[[Any, Any], bool]
    """The same condition in Python, over the new object and the old one."""
    message: str
    remedy: str
    field: str = ""

    def as_json(self) -> dict[str, str]:
        """One entry of `x-kubernetes-validations`."""
        return Rule(cel=self.cel, holds=bool, message=self.message, remedy=self.remedy, field=self.field).as_json()


def obey(rules: Iterable[Rule], value: T) -> T:
    """The value itself, if all rules hold; otherwise one pydantic error that carries every broken rule."""
    broken = tuple(rule for rule in rules if not rule.holds(value))
    if broken:
        text = " ".join(f"{rule.message}; {rule.remedy}." for rule in broken)
        raise PydanticCustomError(BROKEN_RULE, "{text}", {"text": text, "broken": broken})
    return value


def unchanged(*attributes: str, remedy: str) -> tuple[Transition, ...]:
    """One transition for each attribute: it can be neither set, changed nor removed after the object was created."""
    return tuple(_unchanged(attribute, to_camel(attribute), remedy) for attribute in attributes)


def _unchanged(attribute: str, field: str, remedy: str) -> Transition:
    return Transition(
        cel=f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})",
        holds=lambda new, old: bool(getattr(new, attribute) == getattr(old, attribute)),
        message=f"{field} {FIXED}",
        remedy=remedy,
        field=field,
    )
