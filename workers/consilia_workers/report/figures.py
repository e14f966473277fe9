"""The report's figures. Importing this takes a second (matplotlib), so it is done only where a page is made."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from consilia_workers.report import wording
from consilia_workers.report.comparison import Comparison, Row, Way
from consilia_workers.report.curves import Curve, frame
from consilia_workers.report.svg import (
    AGGREGATE,
    ALONE,
    FAINT,
    FEDERATED,
    INK,
    PAPER,
    POOLED,
    REST,
    RULE,
    TRAIN,
    as_svg,
    drawing,
)
from consilia_workers.report.timing import RoundCost

WIDE, HALF, NARROW = 860, 420, 330
"""Widths in the page's pixels: a whole column, half of it, a telephone."""

_COLOUR: Mapping[Way, str] = {"alone": ALONE, "federated": FEDERATED, "pooled": POOLED}
_MARKER: Mapping[Way, str] = {"alone": "s", "federated": "o", "pooled": "D"}
_DASHES: Mapping[Way, tuple[float, ...]] = {"alone": (6, 3), "pooled": (1.5, 2.5)}
_OFFSET: Mapping[Way, float] = {"alone": -0.2, "federated": 0.0, "pooled": 0.2}

_CHARACTER = 7.0
"""Room for one character of a label, in pixels."""


def convergence(curve: Curve, comparison: Comparison, *, key: str, width: int, kind: str) -> str:
    """A metric over the rounds, with what training alone and pooled reached as horizontal lines."""
    with drawing():
        figure, axes = _canvas(width, 320 if width == WIDE else 240, left=60)
        for values in curve.hospitals.values():
            axes.plot(list(values), list(values.values()), color=FEDERATED, alpha=0.28, linewidth=1)
        levels = {way: level for way in _DASHES if (level := comparison.mean.of(way))}
        for way, level in levels.items():
            axes.axhline(level.mean, color=_COLOUR[way], linewidth=1.8, dashes=_DASHES[way])
        _mean_line(axes, curve)
        axes.set_xlabel("rounds completed")
        axes.set_xlim(0, max(1, *curve.mean))
        axes.set_ylim(frame(curve, [level.mean for level in levels.values()]))
        _whole_numbers(axes)
        return as_svg(figure, key=key, label=_told(curve, comparison), kind=kind)


def _mean_line(axes: Axes, curve: Curve) -> None:
    positions = list(curve.mean)
    means = [spread.mean for spread in curve.mean.values()]
    deviations = [spread.deviation or 0.0 for spread in curve.mean.values()]
    if any(deviations):
        low = [mean - deviation for mean, deviation in zip(means, deviations, strict=True)]
        high = [mean + deviation for mean, deviation in zip(means, deviations, strict=True)]
        axes.fill_between(positions, low, high, color=FEDERATED, alpha=0.18, linewidth=0)
    axes.plot(positions, means, color=FEDERATED, linewidth=2.6, solid_capstyle="round")
    axes.plot(positions[-1:], means[-1:], color=FEDERATED, marker="o", markersize=7, clip_on=False, zorder=3)


def _told(curve: Curve, comparison: Comparison) -> str:
    positions = list(curve.mean)
    first, last = curve.mean[positions[0]].mean, curve.mean[positions[-1]].mean
    levels = [
        f"{way} {wording.number(level.mean)}" for way in ("alone", "pooled") if (level := comparison.mean.of(way))
    ]
    beside = f"; for comparison: {', '.join(levels)}" if levels else ""
    return (
        f"Line chart: mean {wording.metric(curve.metric)} goes from {wording.number(first)} to {wording.number(last)} "
        f"in {wording.counted(positions[-1], 'round')}{beside}."
    )


def dots(comparison: Comparison, *, key: str, width: int, kind: str) -> str:
    """A row for each hospital and one for the mean; alone, federated and pooled as marks with their spread."""
    rows = [row for row in (*comparison.rows, comparison.mean) if any(row.of(way) for way in comparison.ways)]
    names = [wording.short(wording.printable(row.name), 14 if width == NARROW else 26) for row in rows]
    with drawing():
        left = 16 + _CHARACTER * max(len(name) for name in names)
        figure, axes = _canvas(width, 52 + 40 * len(rows), left=left)
        for place, row in enumerate(rows):
            _dot_row(axes, place, row, comparison.ways)
        axes.set_yticks(range(len(rows)), names, color=INK)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        if rows[-1] is comparison.mean:
            axes.axhline(len(rows) - 1.5, color=FAINT, linewidth=1)
            axes.get_yticklabels()[-1].set_fontweight("bold")
        axes.set_xlabel(wording.metric(comparison.metric))
        axes.xaxis.set_major_locator(MaxNLocator(4 if width == NARROW else 8))
        axes.margins(x=0.04)
        label = f"Dot plot of {wording.metric(comparison.metric)} by hospital; the table below holds the same figures."
        return as_svg(figure, key=key, label=label, kind=kind)


def _dot_row(axes: Axes, place: int, row: Row, ways: Sequence[Way]) -> None:
    axes.axhline(place, color=RULE, linewidth=1)
    for way in ways:
        if figure := row.of(way):
            axes.errorbar(
                figure.mean,
                place + _OFFSET[way],
                xerr=figure.deviation,
                color=_COLOUR[way],
                marker=_MARKER[way],
                markersize=10 if way == "federated" else 8,
                markeredgecolor=PAPER,
                elinewidth=1.6,
            )


def time_per_round(costs: Sequence[RoundCost], *, key: str) -> str:
    """Seconds a round, stacked by what they went into."""
    bottom = [0.0] * len(costs)
    with drawing():
        figure, axes = _canvas(HALF, 240, left=62)
        for colour, part in ((TRAIN, "train"), (AGGREGATE, "aggregate"), (REST, "rest")):
            top = [low + float(getattr(cost, part)) for low, cost in zip(bottom, costs, strict=True)]
            _steps(axes, costs, bottom, top, colour)
            bottom = top
        axes.yaxis.set_major_formatter(FuncFormatter(lambda seconds, _: wording.duration(seconds)))
        label = "Area chart of the time each round took, split in training, aggregation and the rest."
        return _by_round(figure, axes, key, label)


def bytes_per_round(costs: Sequence[RoundCost], *, key: str) -> str:
    """Bytes that came in from all hospitals, round by round."""
    with drawing():
        figure, axes = _canvas(HALF, 240, left=62)
        received = [cost.received_bytes for cost in costs]
        _steps(axes, costs, [0.0] * len(costs), received, TRAIN, alpha=0.35)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: wording.size(count)))
        label = "Area chart of the bytes received from all hospitals in each round."
        return _by_round(figure, axes, key, label)


def _steps(
    axes: Axes,
    costs: Sequence[RoundCost],
    low: Sequence[float],
    high: Sequence[float],
    colour: str,
    *,
    alpha: float = 1.0,
) -> None:
    """A block for each round, drawn as one path however many rounds there are."""
    edges = [costs[0].round - 0.5, *(cost.round + 0.5 for cost in costs)]
    axes.fill_between(edges, [*low, low[-1]], [*high, high[-1]], step="post", color=colour, alpha=alpha, linewidth=0)


def _by_round(figure: Figure, axes: Axes, key: str, label: str) -> str:
    axes.set_xlabel("round")
    axes.set_ylim(bottom=0)
    axes.margins(x=0)
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_locator(MaxNLocator(5))
    _whole_numbers(axes)
    return as_svg(figure, key=key, label=label, kind="half")


def _canvas(width: int, height: int, *, left: float) -> tuple[Figure, Axes]:
    """A figure of so many pixels with one set of axes; `left` is the room for the labels."""
    figure = Figure(figsize=(width / 72, height / 72))
    right, top, bottom = 14, 10, 42
    box = (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    return figure, figure.add_axes(box)


def _whole_numbers(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, steps=[1, 2, 5, 10]))
