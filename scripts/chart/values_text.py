"""charts/consilia/values.yaml: every value with its default, under a line that says what it means."""

import textwrap
from collections.abc import Iterator

import yaml
from pydantic import BaseModel

from scripts.chart.values import ChartValues

_HEAD = """\
# Generated from scripts/chart/values.py by `make generate`.
# The values of the chart with their defaults. A value that is not here is refused.
"""
_WIDTH = 118
_HIDDEN = ("global",)


def values_text() -> str:
    """The file."""
    return "\n".join((_HEAD, *_lines(ChartValues(), 0))) + "\n"


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
    plain = list(value) if isinstance(value, tuple) else value
    yield textwrap.indent(yaml.safe_dump({key: plain}, sort_keys=False, allow_unicode=True).strip(), margin)
