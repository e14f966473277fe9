"""docs/reference/chart.md, chart-hospital.md: every value of the two charts."""

import json
import typing
from collections.abc import Iterator

from pydantic import BaseModel

from scripts.chart.values_schema import values_schema
from scripts.pages.markdown import page, table

INTRODUCTION = """\
What `helm install` and `helm upgrade` can be told about the chart `charts/consilia`; [Install](../guides/install.md) is
the guide. A value that does not exist, or is of another type, is refused before anything changes.

What stands below `operator` becomes the operator's settings file, field by field and with the same defaults. Helm
writes it, with the images and `watchNamespaces`, into the ConfigMap `RELEASE-operator`; a change starts the operator
anew."""

HOSPITALS_INTRODUCTION = """\
What `helm install` and `helm upgrade` can be told about the chart `charts/consilia-hospital`, for a hospital with a
cluster of its own ([what that means](../concepts/many-clusters.md)). The namespace of the release is the hospital: it
has its name, and the operator has rights there and nowhere else. A value that does not exist, or is of another type,
is refused before anything changes."""

_HEAD = ("Value", "Type", "Default", "Meaning")
_HIDDEN = ("global",)


def chart_page(values: BaseModel, title: str, introduction: str) -> str:
    """The page: a section for each group, then the single values."""
    schema = values_schema(type(values))["properties"]
    rows = list(_rows("", values, schema))
    sections = list(dict.fromkeys(name for name, *_ in rows if name))
    single = [row[1:] for row in rows if not row[0]]
    return page(f"# {title}", introduction, *_groups(sections, rows, schema), "## The rest", table(_HEAD, single))


def _groups(sections: list[str], rows: list[tuple[str, ...]], schema: dict[str, typing.Any]) -> Iterator[str]:
    for section in sections:
        yield f"## {section}"
        yield schema[section]["description"]
        yield table(_HEAD, (row[1:] for row in rows if row[0] == section))


def _rows(path: str, values: BaseModel, schema: dict[str, typing.Any]) -> Iterator[tuple[str, ...]]:
    """Section, and the cells of one row, for each value that is no group of others."""
    for name, field in type(values).model_fields.items():
        key, value = field.alias or name, getattr(values, name)
        if key in _HIDDEN:
            continue
        if isinstance(value, BaseModel):
            yield from _rows(f"{path}{key}.", value, schema[key]["properties"])
        else:
            cells = (_type(schema[key]), f"`{json.dumps(value, default=_plain)}`", field.description or "")
            yield path.partition(".")[0], f"`{path}{key}`", *cells


def _plain(value: BaseModel) -> object:
    return value.model_dump(mode="json", by_alias=True)


def _type(schema: dict[str, typing.Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(f"`{each}`" for each in schema["enum"])
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    kind = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
    return {"object": "map", "array": "list"}.get(kind) or words[kind]
