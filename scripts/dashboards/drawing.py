"""Draws a dashboard's panels with their data, in Grafana's layout: one picture that needs no Grafana."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.ticker import FuncFormatter, MaxNLocator

from scripts.dashboards.answers import Series, Span
from scripts.dashboards.grafana import document
from scripts.dashboards.panels import WIDTH, Dashboard, Panel

Answers = Sequence[Sequence[Series]]
"""The series of each query of a panel."""
PALETTE = ("#56a64b", "#e0b400", "#3274d9", "#ff780a", "#e02f44", "#a352cc", "#1f9e9e", "#8f3bb8", "#705da0", "#ba43a9")
COLOURS = {"green": "#37872d", "yellow": "#e0b400", "orange": "#e5690a", "red": "#c4162a", "blue": "#1f60c4"}
INK, FAINT, PAPER = "#22252b", "#6e7079", "#f4f5f5"
_OVER_TIME = "over time"
"""Marks axes whose abscissa is time."""
_LINE, _COLUMN = 0.36, 0.62
"""A line and a column of Grafana's grid, in inches."""
_SIZES = (("s", 1.0), ("ms", 1e-3), ("\N{MICRO SIGN}s", 1e-6))
_BYTES = (("GB/s", 1e9), ("MB/s", 1e6), ("kB/s", 1e3), ("B/s", 1.0))


def draw(dashboard: Dashboard, answered: Mapping[str, Answers], span: Span, path: Path) -> None:
    """Write the picture; `answered` has the answers by the panels' titles, and what it lacks is left out."""
    style = {"font.family": "DejaVu Sans", "font.size": 7.5, "text.color": INK, "axes.labelcolor": FAINT}
    with mpl.rc_context(style):
        figure = _figure(dashboard, answered)
        for axes in figure.axes:
            for inner in axes.child_axes:
                if inner.get_gid() == _OVER_TIME:
                    inner.set_xlim(*_dates((span.start, span.end)))
        figure.savefig(path, dpi=130, facecolor=PAPER, metadata={"Software": None})


def _figure(dashboard: Dashboard, answered: Mapping[str, Answers]) -> Figure:
    panels = {panel.title: panel for row in dashboard.rows for panel in row.panels}
    places = {each["title"]: each["gridPos"] for each in document(dashboard)["panels"] if each["title"] in answered}
    lines = max(place["y"] + place["h"] for place in places.values())
    figure = Figure(figsize=(WIDTH * _COLUMN, lines * _LINE + 0.45))
    grid = GridSpec(lines, WIDTH, figure, left=0.012, right=0.988, bottom=0.01, top=1 - 0.5 / (lines * _LINE + 0.45))
    figure.text(0.014, 1 - 0.28 / (lines * _LINE + 0.45), dashboard.title, size=13, weight="bold", va="center")
    for title, top in _headings(dashboard, places):
        below = grid[top, :].get_position(figure)
        figure.text(0.014, below.y0 + 0.45 * below.height, title, size=9.5, weight="bold", color=FAINT, va="center")
    for title, at in places.items():
        cell = grid[at["y"] : at["y"] + at["h"], at["x"] : at["x"] + at["w"]]
        card = figure.add_subplot(cell)
        _card(card, title)
        _KINDS[panels[title].kind](card, panels[title], answered[title])
    return figure


def _headings(dashboard: Dashboard, places: Mapping[str, Mapping[str, int]]) -> list[tuple[str, int]]:
    """The rows' titles, each with its line of the grid."""
    shown = [(row.title, [panel.title for panel in row.panels if panel.title in places]) for row in dashboard.rows]
    return [(title, places[panels[0]]["y"] - 1) for title, panels in shown if panels]


def _card(card: Axes, title: str) -> None:
    """White paper with the title at its top; what is drawn lies in axes inside it."""
    card.set_xticks([])
    card.set_yticks([])
    card.set_facecolor("white")
    for edge in card.spines.values():
        edge.set_color("#dcdde0")
    card.annotate(title, (0, 1), (7, -6), "axes fraction", "offset points", va="top", weight="bold", size=8, color=INK)


def _curves(card: Axes, panel: Panel, answered: Answers) -> None:
    every = [series for query in answered for series in query]
    side_by_side = _names_side_by_side(panel, every)
    room = 0.035 * ((len(every) - 1) // side_by_side)
    inner = card.inset_axes((0.075, 0.2 + room, 0.905, 0.64 - room))
    colours = [PALETTE[index % len(PALETTE)] for index in range(len(every))]
    if panel.stacked and every:
        _stack(inner, every, colours)
    else:
        for series, colour in zip(every, colours, strict=True):
            inner.plot(
                _dates(series.times), series.values, color=colour, lw=1.2, label=series.name, solid_joinstyle="round"
            )
    _scale(inner, panel, every)
    inner.legend(
        loc="upper left", bbox_to_anchor=(-0.05, -0.13), ncols=side_by_side, frameon=False, fontsize=6.8,
        handlelength=1.2, columnspacing=1.2, borderaxespad=0,
    )  # fmt: skip


def _names_side_by_side(panel: Panel, every: Sequence[Series]) -> int:
    """So many names fit beside one another below the curves."""
    longest = max((len(series.name) for series in every), default=1)
    return max(1, min(6, len(every) or 1, panel.columns * 8 // (longest + 5)))


def _stack(inner: Axes, every: Sequence[Series], colours: Sequence[str]) -> None:
    """Where a series has no point, it adds nothing."""
    times = sorted({time for series in every for time in series.times})
    known = [dict(zip(series.times, series.values, strict=True)) for series in every]
    heights = [[each.get(time, 0.0) for time in times] for each in known]
    names = [series.name for series in every]
    inner.stackplot(_dates(times), heights, labels=names, colors=colours, alpha=0.75, lw=0)


def _scale(inner: Axes, panel: Panel, every: Sequence[Series]) -> None:
    inner.set_gid(_OVER_TIME)
    inner.grid(color="#e9eaec", lw=0.6)
    inner.set_axisbelow(True)
    inner.tick_params(length=0, labelsize=6.8, colors=FAINT)
    for edge in inner.spines.values():
        edge.set_visible(False)
    if panel.minimum is not None:
        inner.set_ylim(bottom=panel.minimum, top=None if any(max(each.values) > 0 for each in every) else 1)
    inner.yaxis.set_major_locator(MaxNLocator(5, integer=panel.unit == "none" and panel.minimum is not None))
    inner.yaxis.set_major_formatter(FuncFormatter(lambda value, _: written(value, panel.unit)))
    locator = AutoDateLocator(minticks=3, maxticks=7, tz=UTC)
    inner.xaxis.set_major_locator(locator)
    inner.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC, show_offset=False))


def _dates(times: Sequence[float]) -> list[float]:
    """As matplotlib counts days."""
    return [float(date2num(datetime.fromtimestamp(time, UTC))) for time in times]


def _figure_alone(card: Axes, panel: Panel, answered: Answers) -> None:
    values = [series.values[-1] for query in answered for series in query]
    text = written(values[0], panel.unit, panel.decimals) if values else "No data"
    colour = _colour(panel, values[0]) if values else FAINT
    card.text(0.5, 0.42, text, transform=card.transAxes, ha="center", va="center", size=21, weight="bold", color=colour)


def _bars(card: Axes, panel: Panel, answered: Answers) -> None:
    every = [series for query in answered for series in query]
    inner = card.inset_axes((0.03, 0.06, 0.82, 0.76))
    rows = range(len(every))
    values = [series.values[-1] for series in every]
    inner.barh(rows, [panel.maximum or max(values, default=1)] * len(every), 0.42, color="#eeeff1")
    inner.barh(rows, values, 0.42, color=[_colour(panel, value) for value in values])
    for row, series in zip(rows, every, strict=True):
        inner.text(0, row - 0.36, series.name, size=7.2, color=INK, va="center")
        text = written(series.values[-1], panel.unit, panel.decimals)
        inner.annotate(text, (1, row), (6, 0), inner.get_yaxis_transform(), "offset points", va="center", weight="bold")
    inner.set_xlim(panel.minimum, panel.maximum)
    inner.set_ylim(max(len(every), 3) - 0.5, -0.7)
    inner.axis("off")


def _table(card: Axes, panel: Panel, answered: Answers) -> None:
    rows: dict[tuple[str, ...], dict[int, float]] = {}
    labels: tuple[str, ...] = ()
    for column, query in enumerate(answered):
        for series in query:
            labels = tuple(sorted(series.labels))
            rows.setdefault(tuple(series.labels[name] for name in labels), {})[column] = series.values[-1]
    lines = [(*labels, *panel.headings)]
    for key, cells in sorted(rows.items()):
        numbers = [written(cells[k], panel.unit, panel.decimals) if k in cells else "" for k in range(len(answered))]
        lines.append((*key, *numbers))
    for number, line in enumerate(lines):
        for column, text in enumerate(line):
            at = (0.025 + column * 0.95 / len(line), 0.8 - number * max(0.06, min(0.11, 0.75 / len(lines))))
            weight, colour = ("bold", FAINT) if number == 0 else ("normal", INK)
            card.text(*at, text, transform=card.transAxes, va="center", size=7.5, weight=weight, color=colour)


_KINDS: Mapping[str, Callable[[Axes, Panel, Answers], None]] = {
    "timeseries": _curves,
    "stat": _figure_alone,
    "bargauge": _bars,
    "table": _table,
}


def _colour(panel: Panel, value: float) -> str:
    reached = [colour for at, colour in panel.steps if value >= at]
    return COLOURS[reached[-1] if reached else "green"]


def written(value: float, unit: str, decimals: int | None = None) -> str:
    """A value as Grafana writes it: with a unit of its size."""
    if math.isinf(value):
        return "\N{INFINITY}"
    match unit:
        case "s" | "Bps" | "bytes" if value == 0:
            return "0"
        case "percentunit":
            return f"{100 * value:.{decimals or 0}f} %"
        case "s" | "Bps" | "bytes":
            sizes = _SIZES if unit == "s" else _BYTES
            name, size = next((each for each in sizes if abs(value) >= each[1]), sizes[-1])
            return f"{value / size:.3g} {name.removesuffix('/s') if unit == 'bytes' else name}"
    return f"{value:.{decimals}f}" if decimals is not None else f"{value:.4g}"
