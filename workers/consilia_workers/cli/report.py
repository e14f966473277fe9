"""`consilia report`: make a run's page anew from its figures."""

import json
import webbrowser
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from consilia_workers.report.comparison import Row, compare, succeeded
from consilia_workers.report.page import write_page
from consilia_workers.report.results import Report
from consilia_workers.report.table import print_table


def report(
    run_dir: Annotated[Path, typer.Argument(help="The folder of a finished run, with report.json in it.")],
    open_page: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Rebuild report.html from report.json, and print the result table.

    Exit codes: 0 written, 1 there is no readable report.json.
    """
    results = Report.load(run_dir / "report.json")
    page = run_dir / "report.html"
    write_page(results, page)
    console = Console()
    if as_json:
        console.print(json.dumps(as_data(results, page)), highlight=False, markup=False, soft_wrap=True)
    else:
        print_table(console, results)
        console.print(f"report: {page}", highlight=False, markup=False, soft_wrap=True)
    if open_page:
        webbrowser.open(page.resolve().as_uri())


def as_data(results: Report, page: Path) -> dict[str, Any]:
    """What `--json` prints: for each metric the rows of the comparison, a figure being {mean, deviation, seeds}."""
    comparisons = [compare(results, metric) for metric in results.metrics]
    return {
        "job": results.job,
        "page": str(page),
        "seeds": len(results.seeds),
        "succeeded": len(succeeded(results)),
        "metrics": {
            comparison.metric: {
                "lowerIsBetter": comparison.lower_is_better,
                "hospitals": {row.name: _figures(row) for row in comparison.rows},
                "mean": _figures(comparison.mean),
                "notInMean": dict(comparison.missing),
            }
            for comparison in comparisons
        },
    }


def _figures(row: Row) -> dict[str, Any]:
    return {name: figure for name, figure in asdict(row).items() if name != "name"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)
