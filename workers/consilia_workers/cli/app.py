"""The console script `consilia`: its commands, each from its own module, and how errors end it."""

import sys

import typer
from rich.console import Console

from consilia import __version__
from consilia.errors import ConsiliaError, ManifestError
from consilia_workers.cli import audit_privacy, data, enroll, kafka, ledger, report, run, validate

app = typer.Typer(
    name="consilia",
    help="Federated learning for hospitals: patients stay, models travel.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print the version and leave.")) -> None:
    """Federated learning for hospitals: patients stay, models travel."""
    if version:
        typer.echo(f"consilia {__version__}")
        raise typer.Exit


for command in (run, validate, report, data, kafka, ledger, audit_privacy, enroll):
    command.register(app)


def main() -> None:
    """The console script. Our own errors are one message and exit code 1; `validate` and wrong usage exit with 2."""
    try:
        app()
    except ConsiliaError as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2 if isinstance(error, ManifestError) else 1)
