"""`consilia data`: which data sets there are, getting them, and verifying them."""

import json
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer

from consilia.errors import DataError
from consilia_workers.datasets.catalog import CATALOG, DataSet, data_folder, find, folder_of
from consilia_workers.datasets.fetch import Finding, State, fetch, inspect

EXIT_NOT_VERIFIED = 1

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Name = Annotated[str, typer.Argument(help=f"One of: {', '.join(CATALOG)}.")]
Folder = Annotated[Path | None, typer.Option(help="The folder for this set's files, instead of the one in the list.")]

commands = typer.Typer(help="List, get and verify data sets.", no_args_is_help=False)


@commands.callback(invoke_without_command=True)
def list_sets(context: typer.Context, as_json: AsJson = False) -> None:
    """List the data sets: their sites, size, licence, where they come from, and whether this machine has them."""
    if context.invoked_subcommand is not None:
        return
    if as_json:
        _print_json([_as_data(entry) for entry in CATALOG.values()])
        return
    for entry in CATALOG.values():
        typer.echo(_paragraph(entry))
    typer.echo(f"Get one with `consilia data get NAME`: it goes into a folder of its own in {data_folder()}.")


@commands.command()
def get(name: Name, to: Folder = None, as_json: AsJson = False) -> None:
    """Download a data set and verify it; what fails its checksum is not kept.

    Exit codes: 0 the set is here and verified, 1 it could not be got.
    """
    entry = find(name)
    folder = (to or folder_of(entry)) if entry.files else None
    written = [] if folder is None else fetch(entry, folder)
    if as_json:
        _print_json({"name": name, "folder": folder and str(folder), "written": [path.name for path in written]})
    elif folder is None:
        typer.echo(f"{name} needs no download: {entry.origin}.")
    else:
        typer.echo(f"{name} is in {folder}: {len(written)} files downloaded, {len(entry.files)} verified.")
        typer.echo(f"Licence {entry.licence}. {entry.origin}.")


@commands.command()
def verify(
    name: Annotated[str | None, typer.Argument(help=f"One of: {', '.join(CATALOG)}. All of them if left out.")] = None,
    at: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Compare the files on this machine with their published checksums.

    Exit codes: 0 all are right (sets that need no files are), 1 a file is missing or different.
    """
    if at is not None and name is None:
        raise DataError("--at goes with one data set.", remedy=f"Name it: {', '.join(CATALOG)}.")
    findings = {entry.name: _inspect(entry, at) for entry in ([find(name)] if name else CATALOG.values())}
    if as_json:
        _print_json({name: {each.path.name: each.state for each in found} for name, found in findings.items()})
    else:
        _print_findings(findings)
    if any(each.state is not State.VERIFIED for found in findings.values() for each in found):
        raise typer.Exit(EXIT_NOT_VERIFIED)


def register(app: typer.Typer) -> None:
    """Add the command group."""
    app.add_typer(commands, name="data")


def _inspect(entry: DataSet, at: Path | None = None) -> list[Finding]:
    folder = folder_of(entry)
    return [] if folder is None else inspect(entry, at or folder)


def _here(entry: DataSet) -> str:
    """Whether this machine has the set, in a word or two."""
    states = {finding.state for finding in _inspect(entry)}
    if not states:
        return "yes, needs no files"
    if states == {State.VERIFIED}:
        return "yes, verified"
    return "no" if states == {State.MISSING} else f"damaged: see `consilia data verify {entry.name}`"


def _as_data(entry: DataSet) -> dict[str, Any]:
    folder = folder_of(entry)
    return {
        "name": entry.name,
        "title": entry.title,
        "sites": entry.sites,
        "patients": entry.rows,
        "licence": entry.licence,
        "origin": entry.origin,
        "files": [{"name": file.name, "sha256": file.sha256, "url": file.url} for file in entry.files],
        "folder": folder and str(folder),
        "here": _here(entry),
    }


def _paragraph(entry: DataSet) -> str:
    lines = (
        f"{entry.title}.",
        f"{entry.rows:,} patients at {', '.join(entry.sites)}.",
        f"Licence: {entry.licence}. From: {entry.origin}.",
        f"On this machine: {_here(entry)}.",
    )
    return "\n".join(
        [entry.name, *(textwrap.fill(line, 100, initial_indent="  ", subsequent_indent="    ") for line in lines), ""]
    )


def _print_findings(findings: dict[str, list[Finding]]) -> None:
    for name, found in findings.items():
        if not found:
            typer.echo(f"{name}: needs no files")
        for each in found:
            typer.echo(f"{name}: {each.path} is {each.state}")


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value))
