"""What may not change once an object is there: the transitions of the types, for whoever has no API server to ask."""

from collections.abc import Iterator
from typing import TypeVar

from consilia.api.problem import Problem
from consilia.api.resource import ApiObject

T = TypeVar("T", bound=ApiObject)


def refused_changes(old: T, new: T) -> list[Problem]:
    """Every transition that the change from `old` to `new` breaks, with its path."""
    return list(_refused(old, new, ()))


def _refused(old: ApiObject, new: ApiObject, path: tuple[str, ...]) -> Iterator[Problem]:
    for transition in new.transitions:
        if not transition.holds(new, old):
            place = (*path, transition.field) if transition.field else path
            yield Problem(path=".".join(place), rule=transition.message, remedy=f"{transition.remedy}.")
    for name, field in type(new).model_fields.items():
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(before, ApiObject) and isinstance(after, ApiObject):
            yield from _refused(before, after, (*path, field.alias or name))
