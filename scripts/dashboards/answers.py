"""What a Prometheus answers to a panel's queries: names of series, and their values over time."""

import json
import math
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scripts.dashboards.panels import Panel, Query

EVERYTHING = {"$namespace": ".*", "$job": ".*", "$hospital": ".*"}
"""What a reader who chose everything stands for."""


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, in seconds since 1970."""

    start: float
    end: float

    @property
    def step(self) -> float:
        """Between two points of a curve, in seconds."""
        return max(1.0, (self.end - self.start) / 300)


@dataclass(frozen=True, slots=True)
class Series:
    """One curve or one figure, which is a curve of one point."""

    name: str
    labels: Mapping[str, str]
    times: tuple[float, ...]
    """In seconds since 1970."""
    values: tuple[float, ...]


def answers(url: str, panel: Panel, span: Span, window: str) -> list[list[Series]]:
    """The series of each of the panel's queries, as Grafana would ask for them.

    Raises:
        OSError: that Prometheus cannot be reached, or does not understand a query.
    """
    values = EVERYTHING | {"$window": window, "$__range": f"{span.end - span.start:.0f}s"}
    return [list(_series(query, _ask(url, panel, _substituted(query, values), span))) for query in panel.queries]


def _substituted(query: Query, values: Mapping[str, str]) -> str:
    return re.sub(r"\$\w+", lambda found: values[found[0]], query.expression)


def _ask(url: str, panel: Panel, expression: str, span: Span) -> list[dict[str, Any]]:
    if panel.kind == "timeseries":
        path, moment = "query_range", {"start": span.start, "end": span.end, "step": span.step}
    else:
        path, moment = "query", {"time": span.end}
    asked = urllib.parse.urlencode({"query": expression, **moment})
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{asked}", timeout=30) as answer:  # noqa: S310 (the caller's own)
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def _series(query: Query, found: list[dict[str, Any]]) -> Iterator[Series]:
    """Those that have a value, by name."""
    for each in sorted(found, key=lambda one: sorted(one["metric"].items())):
        pairs = each["values"] if "values" in each else [each["value"]]
        points = [(float(time), float(value)) for time, value in pairs if not math.isnan(float(value))]
        if points:
            times, values = zip(*points, strict=True)
            yield Series(_named(query.legend, each["metric"]), each["metric"], times, values)


def _named(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)
