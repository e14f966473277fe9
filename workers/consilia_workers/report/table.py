"""The result in a terminal: what `consilia run` prints at its end."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from consilia_workers.report.comparison import Comparison, Row, compare, succeeded
from consilia_workers.report.privacy import privacy_rows
from consilia_workers.report.results import Report
from consilia_workers.report.summary import failure
from consilia_workers.report.timing import timing
from consilia_workers.report.wording import (
    MINUS,
    NO_BREAK,
    counted,
    difference,
    duration,
    metric,
    printable,
    size,
    spread,
)

_ASCII = str.maketrans({"±": "+-", "—": "-", MINUS: "-", "\N{REPLACEMENT CHARACTER}": "?"})


def print_table(console: Console, report: Report) -> None:
    """The first metric hospital by hospital, the means of the others, time and bytes a round.

    Colours and lines on a terminal, plain text elsewhere; only ASCII where the output's encoding knows no more.
    """
    comparisons = [compare(report, name) for name in report.metrics]
    paper = _Paper(console)
    if failed := failure(report):
        paper.line(failed, "bold red")
    if succeeded(report) and comparisons:
        _print_comparisons(paper, comparisons, _title(report, comparisons[0]))
    for row in privacy_rows(report):
        if row.violated:
            words = f"{printable(row.hospital)}: the privacy audit found more than the ledger charged; see the report."
            paper.line(words, "bold red")
    if costs := timing(report):
        paper.line(
            f"{duration(costs.median_seconds)} and {size(costs.median_bytes)} received a round (median), "
            f"round 1 after {duration(costs.start_seconds)}"
        )


def _print_comparisons(paper: "_Paper", comparisons: Sequence[Comparison], title: str) -> None:
    first, *others = comparisons
    rows = [(printable(row.name), _figures(row, first)) for row in first.rows]
    paper.table(title, _headings("hospital", first), rows, foot=("mean", _figures(first.mean, first)))
    for hospital, reason in first.missing.items():
        paper.line(f"{printable(hospital)} {reason}; it is not part of the mean.", "dim")
    if others:
        means = [(metric(other.metric), _figures(other.mean, other)) for other in others]
        paper.table("means over the hospitals", _headings("metric", first), means)


_Line = tuple[str, list[str]]
"""A name and its figures."""


def _title(report: Report, comparison: Comparison) -> str:
    seeds = len(succeeded(report))
    over = f", mean ± standard deviation over {counted(seeds, 'seed')}" if seeds > 1 else ""
    return f"{metric(comparison.metric)}{over} ({'lower' if comparison.lower_is_better else 'higher'} is better)"


def _headings(first: str, comparison: Comparison) -> list[str]:
    return [first, *comparison.ways, *(["gain"] if "alone" in comparison.ways else [])]


def _figures(row: Row, comparison: Comparison) -> list[str]:
    figures = [spread(row.of(way)) for way in comparison.ways]
    return [*figures, difference(row.gain)] if "alone" in comparison.ways else figures


class _Paper:
    """A console and what it can show."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def line(self, text: str, style: str = "") -> None:
        """One sentence; names in it are no markup."""
        self._console.print(Text(self._shown(text), style=style))

    def table(self, title: str, headings: Sequence[str], lines: Sequence[_Line], *, foot: _Line | None = None) -> None:
        """Names on the left, figures on the right; the foot stands out."""
        edges = box.SIMPLE_HEAD if self._console.is_terminal and not self._console.options.ascii_only else None
        table = Table(box=edges, pad_edge=False, padding=(0, 1, 0, 0))
        for place, heading in enumerate(headings):
            # Figures are never cut; a long name is folded where 80 columns are too few.
            table.add_column(heading, justify="right" if place else "left", no_wrap=place > 0, overflow="fold")
        for name, figures in lines:
            table.add_row(*self._cells(name, figures))
        if foot:
            table.add_row(*self._cells(*foot), style="bold")
        self.line(title, "bold")
        self._console.print(table)

    def _cells(self, name: str, figures: Sequence[str]) -> list[Text]:
        return [Text(self._shown(cell)) for cell in (name, *figures)]

    def _shown(self, text: str) -> str:
        text = text.replace(NO_BREAK, " ")
        if not self._console.options.ascii_only:
            return text
        return text.translate(_ASCII).encode("ascii", "replace").decode("ascii")
