"""`consilia ledger`: what was spent of a hospital's data, for its privacy officer; read without the hospital's key."""

import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from consilia.api import Dataset, FederatedJob
from consilia.errors import IdentityError, LedgerError, ManifestError, RunError
from consilia.ledger.chain import Head
from consilia.ledger.journal import write_durably
from consilia.ledger.ledger import Ledger
from consilia.ledger.reading import Reading, head_from, head_text, ledger_file, read_ledger
from consilia.manifest import load
from consilia.manifest.checking import check_text
from consilia.privacy.plan import make_plan
from consilia.privacy.sizes import public_size
from consilia.wire.identity import Identity, PublicKey
from consilia_workers.cli.ledger_export import as_csv
from consilia_workers.cli.ledger_export import as_json as table_as_json
from consilia_workers.cli.ledger_words import (
    account_rows,
    accounts_data,
    forecast_data,
    make_forecast,
    print_accounts,
    print_forecast,
    print_gap,
    print_verified,
    verified_data,
)

EXIT_WRONG = 1
EXIT_NOT_ADMITTED = 3
_LONGEST = 253
"""So many characters of a name or a reason does an entry hold."""

Place = Annotated[Path, typer.Argument(help="The ledger's folder, or the file ledger.jsonl in it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


class Format(StrEnum):
    """How entries are exported."""

    CSV = "csv"
    JSON = "json"


def show(
    path: Place,
    dataset: Annotated[str | None, typer.Option(help="Only the account that this data set belongs to.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what was spent, promised and left of every data set's privacy budget, and by which jobs.

    What was spent is rounded up, what is left rounded down.

    Exit codes: 0 shown, 1 there is no such ledger or data set, or the ledger was changed.
    """
    reading = _read(path)
    rows = account_rows(reading, dataset)
    if as_json:
        _print_json(accounts_data(reading, rows))
    else:
        print_accounts(reading, rows)


def verify(
    path: Place,
    key: Annotated[
        Path | None, typer.Option(help="The hospital's public key, as PEM: the ledger must be begun with it.")
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(
            help="An entry that others have seen, as NUMBER:sha256:DIGEST: it must be there. May be given again."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Verify that every entry follows the one before it and is signed, and that none is missing that others have seen.

    Exit codes: 0 it is whole, 1 it is not; the message names the entry.
    """
    heads = _heads(head or [])
    try:
        reading = _read(path)
        reading.compare(heads)
        if key:
            reading.require_key(_public_key(key))
    except LedgerError as error:
        if not as_json:
            raise
        _print_json({"verified": False, "message": error.message, "remedy": error.remedy})
        raise typer.Exit(EXIT_WRONG) from error
    if as_json:
        _print_json(verified_data(reading, key_given=key is not None, heads=len(heads)))
    else:
        print_verified(reading, key_given=key is not None, heads=len(heads))


def forecast(
    path: Place,
    job: Annotated[Path, typer.Argument(help="The job: YAML with a FederatedJob, and the Dataset if you like.")],
    dataset: Annotated[str, typer.Option(help="The data set that it would train on.")],
    units: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many records, or patients, the data set is publicly known to have; rounded down as in a job. "
            "Default: publicSize of the hospital's Dataset in the file.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Forecast what a job would cost a data set, and how many of its rounds the budget affords. Nothing is promised.

    Exit codes: 0 all of it is affordable, 1 no such ledger or data set, 2 the job file is not valid, 3 not all is.
    """
    reading = _read(path)
    account = reading.account(dataset)
    found, datasets = _job_in(job)
    size = _size(found, units, _published(datasets, reading.accounts.hospital, dataset))
    if found.spec.privacy and found.spec.privacy.unit != account.unit:
        message = f"{job} hides each {found.spec.privacy.unit}, and the budget of {dataset} counts each {account.unit}."
        raise ManifestError(message, remedy=f"Set privacy.unit: {account.unit}.")
    told = make_forecast(account, dataset, found.log_name, make_plan(found.spec, size or 1), size)
    if as_json:
        _print_json(forecast_data(told))
    else:
        print_forecast(told)
    if told.refused:
        raise typer.Exit(EXIT_NOT_ADMITTED)


def export(
    path: Place,
    form: Annotated[Format, typer.Option("--format", help="As what.")] = Format.CSV,
    output: Annotated[Path | None, typer.Option(help="A new file to write to. Default: standard output.")] = None,
) -> None:
    """Export all entries as one flat table for auditors, with the ε spent after each charge.

    Exit codes: 0 exported, 1 there is no such ledger, it was changed, or the file cannot be written.
    """
    reading = _read(path)
    text = as_csv(reading) if form is Format.CSV else table_as_json(reading)
    if output is None:
        typer.echo(text, nl=False)
        return
    if output.exists():
        raise RunError(f"{output} exists already.", remedy="Choose another file.")
    try:
        write_durably(output, text.encode())
    except OSError as error:
        raise RunError(f"{output} cannot be written: {error.strerror}.", remedy="Choose another file.") from error


def accept_gap(
    folder: Annotated[Path, typer.Argument(help="The ledger's folder.")],
    key: Annotated[Path, typer.Option(help="The hospital's private key, as PEM: it signs the entry.")],
    head: Annotated[
        list[str],
        typer.Option(
            help="An entry that others have seen and that is lost, as NUMBER:sha256:DIGEST. May be given again: each "
            "that is not named stays an alarm."
        ),
    ],
    by: Annotated[str, typer.Option(help="Who looked into it and answers for it.")],
    reason: Annotated[str, typer.Option(help="What has happened, for whoever reads the ledger.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Go on with a ledger that has lost entries: every budget in it counts as spent until one is approved anew.

    It says first what it does, and asks. It cannot be taken back.

    Exit codes: 0 accepted, 1 it is not, 2 wrong usage.
    """
    lost = _heads(head)
    for option, words in (("--by", by), ("--reason", reason)):
        if not 0 < len(words.strip()) <= _LONGEST:
            raise typer.BadParameter(f"say it in 1 to {_LONGEST} characters.", param_hint=option)
    reading = _read(folder)
    identity = Identity.load(reading.accounts.hospital, key)
    print_gap(reading, lost)
    if not yes:
        typer.confirm("Accept the gap?", abort=True)
    ledger = Ledger(reading.file.parent, identity)
    number = ledger.accept_gap(lost, by.strip(), reason.strip())
    typer.echo(f"Accepted: an approval that knows of it says afterGap: {number}.")
    typer.echo(f"The ledger ends at {head_text(ledger.head())} now: keep that.")


def _read(path: Path) -> Reading:
    """With a bar on a terminal: a signature takes a tenth of a millisecond, and a ledger lives for years."""
    console = Console(stderr=True)
    columns = (TextColumn("verifying"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("verifying", total=ledger_file(path).stat().st_size)
        return read_ledger(path, lambda done: bar.update(task, completed=done), now=datetime.now(UTC))


def _heads(texts: list[str]) -> list[Head]:
    try:
        return [head_from(text) for text in texts]
    except LedgerError as error:
        raise typer.BadParameter(str(error), param_hint="--head") from error


def _public_key(path: Path) -> PublicKey:
    try:
        return PublicKey.from_text(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"the public key {path} cannot be read: {error.strerror}."
        raise IdentityError(message, remedy="Name a PEM file.") from error
    except (IdentityError, UnicodeDecodeError) as error:
        raise IdentityError(f"{path} holds no Ed25519 public key as PEM.", remedy="Name the public key.") from error


def _job_in(file: Path) -> tuple[FederatedJob, list[Dataset]]:
    """The file's job, even if only a cluster could run it, or a later version: nothing is run here.

    Raises:
        ManifestError: something else in it is wrong, or it asks for no privacy.
    """
    try:
        resources = check_text(file.read_text(encoding="utf-8-sig"), "Cluster").resources
    except (OSError, UnicodeDecodeError):
        resources = ()
    jobs = [each for each in resources if isinstance(each, FederatedJob)]
    job = jobs[0] if len(jobs) == 1 else load(file).job
    if job.spec.privacy is None:
        message = f"the job in {file} asks for no privacy, so that no budget can pay for it."
        raise ManifestError(message, remedy="Set spec.privacy.")
    return job, [each for each in resources if isinstance(each, Dataset)]


def _published(datasets: list[Dataset], hospital: str, name: str) -> int | None:
    """What the hospital's own Dataset says."""
    own = (each for each in datasets if (each.metadata.namespace, each.metadata.name) == (hospital, name))
    return next((each.spec.public_size for each in own), None)


def _size(job: FederatedJob, given: int | None, published: int | None) -> int | None:
    """The size that noise and sampling follow from; None where they do not.

    Raises:
        RunError: nobody says it.
    """
    privacy = job.spec.privacy
    if found := given or published:
        return public_size(found)
    if privacy and privacy.mechanism == "DPSGD" and privacy.sample_rate is None:
        message = "the cost depends on how large the data set is, and nothing says it."
        raise RunError(message, remedy="Give --units: the Dataset's publicSize.")
    return None


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False))


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Read, verify and forecast a hospital's privacy ledger.", no_args_is_help=True)
    for command in (show, verify, forecast, export, accept_gap):
        group.command()(command)
    app.add_typer(group, name="ledger")
