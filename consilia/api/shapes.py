"""Shapes of JSON that is somebody else's: what it may hold, and everything that is wrong with a value. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from consilia.api.problem import Problem

Finding = tuple[str, str]
"""A rule and the remedy."""
Leaf = Callable[[Any], Finding | None]
"""What is wrong with a value, if anything is."""


@dataclass(frozen=True, slots=True)
class Fields:
    """An object of which only these fields may be set."""

    fields: Mapping[str, "Shape"]
    required: tuple[str, ...] = ()
    remedy: str = ""
    """For other fields, beside the list of those that may be set."""


@dataclass(frozen=True, slots=True)
class Entries:
    """An object of names and values, both somebody else's."""

    value: Leaf
    key: Leaf


@dataclass(frozen=True, slots=True)
class Items:
    """A list; by `key` no two of its items are the same."""

    item: "Shape"
    key: str = ""
    most: int = 64


Shape = Fields | Entries | Items | Leaf


def shape_problems(value: object, shape: Shape, path: str) -> Iterator[Problem]:
    """Everything that is wrong with the value, each with its path below `path`."""
    match shape:
        case Fields():
            yield from _in_fields(value, shape, path)
        case Entries():
            yield from _in_entries(value, shape, path)
        case Items():
            yield from _in_items(value, shape, path)
        case _:
            yield from _said(path, value, shape(value))


def _in_fields(value: object, shape: Fields, path: str) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield _wrong_kind(path, value, "an object")
        return
    for name in sorted(value.keys() - shape.fields.keys()):
        rule = "is the hospital's to say, not a job's" if shape.remedy else "cannot be asked for"
        remedy = " ".join(part for part in (shape.remedy, f"Only {_listed(shape.fields)} may be set here.") if part)
        yield Problem(path=f"{path}.{name}", rule=rule, remedy=remedy)
    for name in (name for name in shape.required if name not in value):
        yield Problem(path=f"{path}.{name}", rule="is missing", remedy="Set it.")
    for name, below in shape.fields.items():
        if name in value:
            yield from shape_problems(value[name], below, f"{path}.{name}")


def _in_entries(value: object, shape: Entries, path: str) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield _wrong_kind(path, value, "an object")
        return
    for key, item in value.items():
        place = f"{path}[{key}]"
        yield from _said(place, item, shape.key(key) or shape.value(item))


def _in_items(value: object, shape: Items, path: str) -> Iterator[Problem]:
    if not isinstance(value, list | tuple):
        yield _wrong_kind(path, value, "a list")
        return
    if len(value) > shape.most:
        yield Problem(path=path, rule=f"holds more than {shape.most}", remedy="Leave out what is not needed.")
    seen: set[str] = set()
    for index, item in enumerate(value):
        yield from shape_problems(item, shape.item, f"{path}[{index}]")
        name = str(item.get(shape.key)) if shape.key and isinstance(item, Mapping) else ""
        if name and name in seen:
            yield Problem(path=f"{path}[{index}]", value=name, rule="is there twice", remedy="Remove one of the two.")
        seen.add(name)


def _said(path: str, value: object, finding: Finding | None) -> Iterator[Problem]:
    if finding:
        rule, remedy = finding
        yield Problem(path=path, value=_short(value), rule=rule, remedy=remedy)


def _wrong_kind(path: str, value: object, kind: str) -> Problem:
    return Problem(path=path, value=_short(value), rule=f"must be {kind}", remedy=f"Write {kind}.")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(names)


def is_text(value: object) -> Finding | None:
    """A leaf of text."""
    return None if isinstance(value, str) else ("must be text", "Put it in quotes.")


def is_object(value: object) -> Finding | None:
    """A leaf that holds any object."""
    return None if isinstance(value, Mapping) else ("must be an object", "Write an object.")
