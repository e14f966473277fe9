"""All entries of a ledger as one flat table for auditors. Pure.

The columns and their order are the same for every ledger; what an entry does not have is left empty. Left out are the
samples of keyed digests by which data is known again: they say nothing to whoever lacks the ledger's secret.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping

from consilia.ledger.accounts import Accounts
from consilia.ledger.entries import AnyEntry, Reserved
from consilia.ledger.reading import Reading
from consilia.ledger.statements import statement
from consilia.privacy.mechanisms import Mechanism
from consilia_workers.cli.ledger_words import up

COLUMNS = (
    "number", "at", "type", "hospital", "publicKey", "account", "datasets", "unit", "dataset", "fingerprint", "joined",
    "job", "round", "purpose", "attempt", "kind", "noiseMultiplier", "sampleRate", "steps", "spentAfter",
    "jobSpentAfter", "reservation", "output", "releases", "epsilon", "delta", "epsilonPerJob", "until", "approvedBy",
    "afterGap",
    "asked", "byJob", "entries", "head", "by", "reason", "nonce", "previous", "digest",
)  # fmt: skip
LEFT_OUT = frozenset({"pieces"})
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is a formula to spreadsheets, and names in a ledger are chosen by others too."""


def as_csv(reading: Reading) -> str:
    """The table as comma-separated values (RFC 4180, with line feeds)."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows(reading))
    return text.getvalue()


def as_json(reading: Reading) -> str:
    """The table as a list of objects, each with all columns; what an entry does not have is null."""
    return json.dumps(list(rows(reading)), ensure_ascii=False, indent=1) + "\n"


def rows(reading: Reading) -> Iterator[dict[str, object]]:
    """A row for each entry, in order; `spentAfter` and `jobSpentAfter` are the ε of all jobs and of this one."""
    accounts = Accounts()
    for entry, digest in zip(reading.entries, reading.chain.digests, strict=True):
        accounts.take_in(entry)
        found = {**_flat(entry), **_about(accounts, entry), "digest": digest}
        yield {name: found.get(name) for name in COLUMNS}


def _flat(entry: AnyEntry) -> dict[str, object]:
    data = entry.model_dump(mode="json", by_alias=True, exclude_none=True)
    data.update(data.pop("mechanism", {}))
    if "releases" in data:
        data["releases"] = "; ".join(Mechanism.model_validate(each).describe() for each in data["releases"])
    if "publicKey" in data:
        data["publicKey"] = "".join(data["publicKey"].splitlines()[1:-1])
    return data


def _about(accounts: Accounts, entry: AnyEntry) -> Mapping[str, object]:
    """What follows from the entries up to this one."""
    name = getattr(entry, "account", None)
    if name is None:
        return {}
    account = accounts.of(name)
    known: dict[str, object] = {"datasets": "; ".join(sorted(account.datasets)) or None}
    if isinstance(entry, Reserved):
        told = statement(account, entry.job)
        known |= {"spentAfter": up(told.spent), "jobSpentAfter": up(told.spent_by_job)}
    return known


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
