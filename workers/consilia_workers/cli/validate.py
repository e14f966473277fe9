"""`consilia validate`: what is wrong with files of resources, without running anything."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from consilia.manifest import Problem, problems

EXIT_INVALID = 2


def validate(
    files: Annotated[
        list[Path], typer.Argument(help="YAML files with FederatedJobs, Hospitals, Datasets, HospitalTasks.")
    ],
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Check for a cluster with the operator instead of a local run.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Check files of resources: types, bounds, rules, and what this version supports. Nothing is run.

    Exit codes: 0 all files are valid, 2 at least one is not.
    """
    found = {file: problems(file, "Cluster" if cluster else "Local") for file in files}
    if as_json:
        typer.echo(json.dumps(_as_data(found), ensure_ascii=False))
    else:
        _print(Console(soft_wrap=True, highlight=False), found)
    if any(found.values()):
        raise typer.Exit(EXIT_INVALID)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(validate)


def _as_data(found: dict[Path, list[Problem]]) -> dict[str, object]:
    files = [
        {"file": str(file), "valid": not each, "problems": [asdict(problem) for problem in each]}
        for file, each in found.items()
    ]
    return {"valid": not any(found.values()), "files": files}


def _print(console: Console, found: dict[Path, list[Problem]]) -> None:
    for file, each in found.items():
        if not each:
            console.print(Text(f"{file}: valid", "green"))
        for problem in each:
            console.print(_paragraph(problem))


def _paragraph(problem: Problem) -> Text:
    """Place and path, what stands there, the rule, and the way out."""
    place = ":".join(str(part) for part in (problem.file, problem.line, problem.column) if part)
    text = Text.assemble((place, "bold"), "  " if problem.path else "", (problem.path, "cyan"))
    if problem.value:
        text.append(f": {problem.value}")
    return text.append(f"\n    {problem.rule}\n", "red").append(f"    {problem.remedy}")
