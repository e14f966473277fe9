"""A ledger for whoever only reads it: its file as it is, without the hospital's key, verified and added up."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from consilia.errors import LedgerError
from consilia.ledger.accounts import Account, Accounts
from consilia.ledger.chain import REMEDY, Chain, Head
from consilia.ledger.entries import AnyEntry, Begun, GapAccepted
from consilia.ledger.journal import NAME, instant, read_entries
from consilia.wire.identity import PublicKey

_HEAD = re.compile(r"(\d{1,15}):(sha256:[0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a ledger's file says, every entry verified."""

    file: Path
    entries: Sequence[AnyEntry]
    """At least one."""
    chain: Chain
    accounts: Accounts
    torn: int
    """So many bytes stand behind the last entry: one that is being written, or that a crash cut short."""

    @property
    def first_key(self) -> PublicKey:
        """The key that the ledger itself names in its first entry."""
        begun = self.entries[0]
        assert isinstance(begun, Begun), "the chain begins with nothing else"
        return PublicKey.from_text(begun.public_key)

    def account(self, dataset: str) -> Account:
        """The account of a data set.

        Raises:
            LedgerError: the ledger has none of that name.
        """
        if found := self.accounts.called(dataset):
            return found
        known = sorted(name for account in self.accounts.by_name.values() for name in account.datasets)
        remedy = f"Name one of: {', '.join(known)}." if known else "It has none at all yet."
        raise LedgerError(f"the ledger {self.file} has no data set {dataset}.", remedy=remedy)

    @property
    def gaps(self) -> list[GapAccepted]:
        """The losses that somebody accepted."""
        return self.accounts.gaps

    def compare(self, seen: Sequence[Head]) -> None:
        """See that nothing is missing that others have seen, but what somebody accepted as lost.

        Raises:
            LedgerError: the ledger is older than that, or another one.
        """
        self.chain.require(seen)

    def require_key(self, key: PublicKey) -> None:
        """See that the ledger was begun with this key.

        Raises:
            LedgerError: it names another one.
        """
        if self.first_key.text() != key.text():
            message = f"entry 1 of the ledger names another key than the one that was given: {self.file} was replaced."
            remedy = f"See that the key is the hospital's own. {REMEDY}"
            raise LedgerError(message, remedy=remedy)


def read_ledger(path: Path, progress: Callable[[int], None] = lambda _bytes: None, *, now: datetime) -> Reading:
    """Read a ledger's folder or file. It may be in use meanwhile; nothing is locked and nothing changed.

    `progress` hears how many bytes are done. Promises whose lease ended before `now` hold nothing, as in a ledger in
    use, which puts that down when it is next asked something.

    Raises:
        LedgerError: there is none, or it was changed; the entry is named.
    """
    file = ledger_file(path)
    entries, chain, torn = read_entries(file, progress)
    if not entries:
        raise LedgerError(f"the ledger {file} has no entry, not even its first one: it was cut.", remedy=REMEDY)
    accounts = Accounts()
    for entry in entries:
        accounts.take_in(entry)
    for _, _, job in accounts.promises():
        if instant(job.until) < now:
            job.until = ""
    return Reading(file=file, entries=entries, chain=chain, accounts=accounts, torn=len(torn))


def ledger_file(path: Path) -> Path:
    """The file of the ledger that is meant.

    Raises:
        LedgerError: there is none.
    """
    file = path / NAME if path.is_dir() else path
    if not file.is_file():
        where = f"{path} holds no {NAME}." if path.is_dir() else f"there is no ledger {path}."
        raise LedgerError(where, remedy=f"Name a ledger's folder, or the file {NAME} in it.")
    return file


def head_from(text: str) -> Head:
    """The head that `head_text` wrote.

    Raises:
        LedgerError: it is none.
    """
    found = _HEAD.fullmatch(text.strip())
    if not found:
        remedy = "Write the number of an entry, a colon and its digest, such as 12:sha256:4f9c… with 64 digits."
        raise LedgerError(f"{text!r} is not the head of a ledger.", remedy=remedy)
    return Head(int(found[1]), found[2])


def head_text(head: Head) -> str:
    """A head in one word: the number of the entry and its digest."""
    return f"{head.entries}:{head.digest}"
