"""What a dashboard is made of: rows of panels, each with its queries, unit and thresholds. Pure."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["stat", "timeseries", "bargauge", "table"]
Colour = Literal["green", "yellow", "orange", "red", "blue", "text"]
Steps = tuple[tuple[float, Colour], ...]

WIDTH = 24
"""Of a Grafana dashboard, in columns."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question to Prometheus, and what its series are called: `{{label}}` stands for a label's value."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture on a dashboard; its description says what to make of it."""

    kind: Kind
    title: str
    description: str
    queries: tuple[Query, ...]
    unit: str = "short"
    """Grafana's name of it: s, Bps, percentunit, none, …"""
    columns: int = 12
    lines: int = 8
    """Width of `WIDTH`, and height."""
    steps: Steps = ()
    """From which value on which colour; below the first it is green."""
    stacked: bool = False
    minimum: float | None = None
    maximum: float | None = None
    decimals: int | None = None
    headings: tuple[str, ...] = ()
    """Of a table: the columns of its queries, in order."""
    logarithmic: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading, laid out from left to right."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """What the reader chooses at the top; `label` of `series` gives the choice."""

    name: str
    title: str
    series: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """A page of Grafana."""

    uid: str
    """Stays for ever: links and bookmarks lead to it."""
    title: str
    description: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]


NAMESPACE = Variable(name="namespace", title="Namespace", series="consilia_job_rounds", label="namespace")
JOB = Variable(name="job", title="Job", series='consilia_job_rounds{namespace=~"$namespace"}', label="job")
SELECTED = 'namespace=~"$namespace", job=~"$job"'
"""The series of the jobs that the reader chose."""
WINDOW = "$window"
"""The span over which rates are taken: rounds take from a tenth of a second to hours, so the reader chooses."""
