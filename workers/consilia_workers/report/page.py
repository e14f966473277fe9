"""report.html: one file that holds everything, asks the network for nothing and runs no script."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from markupsafe import Markup

from consilia_workers.report import wording
from consilia_workers.report.comparison import Comparison, Spread, compare, succeeded
from consilia_workers.report.curves import Curve, curve
from consilia_workers.report.notes import notes
from consilia_workers.report.participation import closed_rounds, participation, refusals
from consilia_workers.report.privacy import privacy_rows, promise
from consilia_workers.report.results import Report
from consilia_workers.report.summary import summary
from consilia_workers.report.timing import RoundCost, Timing, timing

if TYPE_CHECKING:
    from jinja2 import Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One metric on the page."""

    comparison: Comparison
    lines: Markup
    """The convergence figure; empty without a single evaluated round."""
    dots: Markup
    """The comparison figure; empty where there is nothing to compare, and for all metrics but the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of the table behind the curves."""

    position: int
    """Rounds completed."""
    means: Sequence[Spread | None]
    """By metric, in the report's order."""
    cost: RoundCost | None
    """Of the round that led here; None for the initial model."""


def write_page(report: Report, path: Path) -> None:
    """Write report.html."""
    path.write_text(render(report), encoding="utf-8")


def render(report: Report) -> str:
    """The page as text; the same report gives the same bytes."""
    comparisons = [compare(report, metric) for metric in report.metrics]
    curves = [curve(report, comparison.metric, comparison.averaged) for comparison in comparisons]
    costs = timing(report)
    return _template().render(
        report=report,
        outcome=_outcome(report),
        summary=summary(report, comparisons),
        sections=_sections(comparisons, curves),
        steps=_steps(curves, costs),
        timing=costs,
        cost_figures=_cost_figures(costs),
        hospitals=participation(report),
        rounds=len(closed_rounds(report)),
        refusals=refusals(report),
        spec=yaml.safe_dump(report.model_dump(mode="json")["spec"], sort_keys=False, allow_unicode=True),
        privacy=promise(report),
        privacy_rows=privacy_rows(report),
        notes=notes(report, comparisons, curves),
        seeds=len(succeeded(report)),
    )


def _template() -> "Template":
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 (a run starts before its page)

    environment = Environment(
        loader=PackageLoader("consilia_workers.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = (
        "number",
        "spread",
        "difference",
        "signed",
        "duration",
        "size",
        "counted",
        "printable",
        "capital",
        "metric",
    )
    environment.filters |= {name: getattr(wording, name) for name in words} | {"with_code": _with_code}
    return environment.get_template("report.html")


def _with_code(text: str) -> Markup:
    """A sentence whose parts between backticks are code."""
    parts = enumerate(text.split("`"))
    return Markup().join(Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in parts)


def _outcome(report: Report) -> str:
    done = len(succeeded(report))
    if done == len(report.seeds) > 0:
        return "Succeeded"
    return "Partly failed" if done else "Failed"


def _sections(comparisons: Sequence[Comparison], curves: Sequence[Curve]) -> list[Section]:
    pairs = zip(comparisons, curves, strict=True)
    return [_section(number, comparison, course) for number, (comparison, course) in enumerate(pairs)]


def _section(number: int, comparison: Comparison, course: Curve) -> Section:
    """The first metric gets the large figures, drawn once for a wide and once for a narrow page."""
    from consilia_workers.report import figures  # noqa: PLC0415 (matplotlib takes a second to load)

    widths = {"wide": figures.WIDE, "narrow": figures.NARROW} if number == 0 else {"half": figures.HALF}
    lines = [
        figures.convergence(course, comparison, key=f"lines-{number}-{kind}", width=width, kind=kind)
        for kind, width in widths.items()
        if course.mean
    ]
    dots = [
        figures.dots(comparison, key=f"dots-{kind}", width=width, kind=kind)
        for kind, width in widths.items()
        if number == 0 and comparison.mean.federated
    ]
    return Section(comparison=comparison, lines=_inline(lines), dots=_inline(dots))


def _cost_figures(costs: Timing | None) -> tuple[Markup, Markup] | None:
    if costs is None:
        return None
    from consilia_workers.report import figures  # noqa: PLC0415 (as above)

    time = figures.time_per_round(costs.rounds, key="time")
    received = figures.bytes_per_round(costs.rounds, key="bytes")
    return _inline([time]), _inline([received])


def _inline(figures: Sequence[str]) -> Markup:
    return Markup("\n".join(figures))  # noqa: S704 (SVG that `as_svg` serialised: names in it are escaped)


def _steps(curves: Sequence[Curve], costs: Timing | None) -> list[Step]:
    by_round = {cost.round: cost for cost in costs.rounds} if costs else {}
    positions = sorted({position for course in curves for position in course.mean} | by_round.keys())
    return [
        Step(
            position=position,
            means=[course.mean.get(position) for course in curves],
            cost=by_round.get(position),
        )
        for position in positions
    ]
