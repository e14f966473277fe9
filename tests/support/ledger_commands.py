"""`consilia ledger` in this process, and ledgers for it to read."""

import typer
from ledgers import HOSPITAL, account_of, open_ledger, plan, reserve
from typer.testing import CliRunner

from consilia.wire.identity import Identity
from consilia_workers.cli import ledger as command


def consilia(*arguments, says=None):
    """Runs `consilia ledger …` and gives the result; our own errors come out as such."""
    app = typer.Typer()
    app.callback()(lambda: None)
    command.register(app)
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["ledger", *map(str, arguments)], input=says)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def spent_ledger(folder):
    """A ledger, and its account of the data set `heart`, of which three rounds of a job of five are spent."""
    ledger = open_ledger(folder)
    account = account_of(ledger)
    ledger.admit(account, "risk", plan(5))
    for number in (1, 2, 3):
        ledger.commit(reserve(ledger, account, "risk", number).reservation, "sha256:" + "1" * 64)
    return ledger, account


def file_of(ledger):
    return ledger.folder / "ledger.jsonl"


def lines_of(ledger):
    return file_of(ledger).read_bytes().splitlines(keepends=True)


def key_of(ledger):
    return ledger.folder.parent / f"{ledger.folder.name}.pem"


def write_public_key(ledger, identity=None):
    path = ledger.folder.parent / "public.pem"
    path.write_text((identity or Identity.load(HOSPITAL, key_of(ledger))).public().text())
    return path
