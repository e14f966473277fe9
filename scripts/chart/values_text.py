"""A chart's values.yaml: every value with its default, under a line that says what it means."""

import textwrap
from collections.abc import Iterator

import yaml
from pydantic import BaseModel

_HEAD = """\
# Generated from scripts/chart/{source}.py by `make generate`.
# The values of the chart with their defaults. A value that is not here is refused.
"""
_WIDTH = 118
_HIDDEN = ("global",)


def values_text(values: BaseModel) -> str:
    """The file, with these values, which are the defaults."""
    head = _HEAD.format(source=type(values).__module__.rpartition(".")[2])
    return "\n".join((head, *_lines(values, 0))) + "\n"


def _lines(values: BaseModel, depth: int) -> Iterator[str]:
    margin = "  " * depth
    for name, field in type(values).model_fields.items():
        key, value = field.alias or name, getattr(values, name)
        if key in _HIDDEN:
            continue
        if not depth:
            yield ""
        yield from textwrap.wrap(
            field.description or "", _WIDTH, initial_indent=f"{margin}# ", subsequent_indent=f"{margin}# "
        )
        yield from _entry(key, value, depth)


def _entry(key: str, value: object, depth: int) -> Iterator[str]:
    margin = "  " * depth
    if isinstance(value, BaseModel):
        yield f"{margin}{key}:"
        yield from _lines(value, depth + 1)
        return
    plain = [_plain(each) for each in value] if isinstance(value, tuple) else value
    yield textwrap.indent(yaml.safe_dump({key: plain}, sort_keys=False, allow_unicode=True).strip(), margin)


def _plain(value: object) -> object:
    return value.model_dump(mode="json", by_alias=True) if isinstance(value, BaseModel) else value
