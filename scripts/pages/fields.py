"""The fields of a settings model as a table: name, type, default, bounds, meaning."""

import typing
from collections.abc import Iterable
from pathlib import Path

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from scripts.pages.markdown import table

_BOUNDS = ((Ge, "ge", "at least"), (Gt, "gt", "more than"), (Le, "le", "at most"), (Lt, "lt", "less than"))


def fields_table(settings: type[BaseModel], names: Iterable[str]) -> str:
    """A row for each field, by the name that stands in the file."""
    rows = (_row(settings.model_fields[name].alias or name, settings.model_fields[name]) for name in names)
    return table(("Field", "Type", "Default", "Meaning"), rows)


def _row(name: str, field: FieldInfo) -> tuple[str, str, str, str]:
    default = "**required**" if field.is_required() else _default(field.get_default(call_default_factory=True))
    bounds = _bounds(field)
    return f"`{name}`", _type(field.annotation), default, (field.description or "") + (f" {bounds}" if bounds else "")


def _bounds(field: FieldInfo) -> str:
    """In one sentence; none where nothing bounds a number."""
    found = [
        f"{words} {getattr(limit, attribute)}"
        for kind, attribute, words in _BOUNDS
        for limit in field.metadata
        if isinstance(limit, kind)
    ]
    return f"{', '.join(found).capitalize()}." if found else ""


def _default(value: object) -> str:
    return "none" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _type(annotation: object) -> str:
    inner = [each for each in typing.get_args(annotation) if each is not type(None)]
    origin = typing.get_origin(annotation)
    if origin is dict:
        return "map of texts"
    if origin is tuple:
        return "list of texts"
    if origin is typing.Literal:
        return "one of " + ", ".join(f"`{each}`" for each in inner)
    if origin is typing.Annotated or inner:
        return _type(inner[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "object, see below"
    return {Path: "path", str: "text", int: "whole number", float: "number", bool: "true or false"}[annotation]
