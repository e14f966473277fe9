"""The chain of a ledger's entries: how one is added, and whether a line is the one that must come next. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from consilia.errors import IdentityError, LedgerError
from consilia.ledger.entries import ENTRY, AnyEntry, Begun, GapAccepted, KeyReplaced
from consilia.wire.identity import LEDGER_ENTRY, Identity, PublicKey, canonical, digest

BEGINNING = "sha256:" + "0" * 64
"""What the first entry has for the one before it."""
REMEDY = "Stop all jobs on this hospital's data, keep the file as it is, and follow docs/guides/ledger.md."
_NAMED = 8
"""So many missing heads are named: a person has to copy them, and a condition holds no page."""


@dataclass(frozen=True, slots=True)
class Head:
    """How long a ledger is, and the digest of its last entry. Whoever keeps one can tell later that nothing is lost."""

    entries: int = 0
    digest: str = BEGINNING


@dataclass(slots=True)
class Chain:
    """What is known of a ledger's lines so far."""

    key: PublicKey | None = None
    """Who signs the next entry; None before the first, which says so itself."""
    digests: list[str] = field(default_factory=list)
    """Of all entries, in order."""
    lost: set[Head] = field(default_factory=set)
    """Heads of entries that were lost, and whose loss a person accepted: those very ones, and no others."""

    @property
    def head(self) -> Head:
        """Where it ends."""
        return Head(len(self.digests), self.digests[-1] if self.digests else BEGINNING)

    def holds(self, head: Head) -> bool:
        """Whether that was this chain's head once, or is; or was one of the entries that are known to be lost."""
        if head.entries == 0 or head in self.lost:
            return True
        return head.entries <= len(self.digests) and self.digests[head.entries - 1] == head.digest

    def require(self, seen: Sequence[Head]) -> None:
        """See that nothing is missing that others have seen, but what somebody accepted as lost.

        Raises:
            LedgerError: the ledger is older than that, or another one; it names the heads that are missing.
        """
        missing = [head for head in dict.fromkeys(seen) if not self.holds(head)]
        if missing:
            raise _rolled_back(missing, len(self.digests))

    def follow(self, line: bytes) -> AnyEntry:
        """Take in the next line (without its line break).

        Raises:
            LedgerError: it is not canonical, not what the digests say, or not signed by the hospital.
        """
        number = len(self.digests) + 1
        body, signature = _opened(line, number)
        found = _parsed(body, number)
        if found.number != number or found.previous != self.head.digest:
            raise _broken(number, "does not continue the one before: entries were removed, inserted or reordered")
        key = self.key or _first_key(found, number)
        if not key.signed(body, signature, purpose=LEDGER_ENTRY):
            raise _broken(number, "is not signed by the hospital's key")
        self._advance(found, key, body)
        return found

    def extend(self, entry: AnyEntry, identity: Identity) -> tuple[AnyEntry, bytes]:
        """The entry as it goes into the chain, and its line, not taken in yet.

        Raises:
            LedgerError: it could not be read back.
        """
        number = len(self.digests) + 1
        chained = entry.model_copy(update={"number": number, "previous": self.head.digest})
        body = canonical(chained.model_dump(mode="json", by_alias=True, exclude_none=True))
        _parsed(body, number)  # what is written once is there for good: not even a copy may break its own rules
        signature = identity.sign(body, purpose=LEDGER_ENTRY)
        return chained, canonical({"entry": json.loads(body), "signature": signature})

    def _advance(self, entry: AnyEntry, key: PublicKey, body: bytes) -> None:
        self.key = PublicKey.from_text(entry.public_key) if isinstance(entry, KeyReplaced) else key
        self.digests.append(digest(body))
        if isinstance(entry, GapAccepted):
            self.lost.add(Head(entry.entries, entry.head))


def _opened(line: bytes, number: int) -> tuple[bytes, str]:
    try:
        whole = json.loads(line)
        body, signature = canonical(whole["entry"]), str(whole["signature"])
        same = canonical({"entry": whole["entry"], "signature": signature}) == line
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _broken(number, f"cannot be read: {type(error).__name__}") from error
    if not same:
        raise _broken(number, "is not written as Consilia writes entries")
    return body, signature


def _parsed(body: bytes, number: int) -> AnyEntry:
    try:
        return ENTRY.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _broken(number, f"has a wrong field: {place}: {first['msg']}") from error


def _first_key(entry: AnyEntry, number: int) -> PublicKey:
    if not isinstance(entry, Begun):
        raise _broken(number, "is not a beginning: the entries before it are gone")
    try:
        return PublicKey.from_text(entry.public_key)
    except IdentityError as error:
        raise _broken(number, "names no valid key") from error


def _rolled_back(missing: Sequence[Head], entries: int) -> LedgerError:
    shown = ", entry ".join(f"{head.entries} with the digest {head.digest}" for head in missing[:_NAMED])
    others = f", {len(missing) - _NAMED} others" if len(missing) > _NAMED else ""
    them = "it" if len(missing) == 1 else "them"
    message = (
        f"the ledger was rolled back or replaced: others have seen entry {shown}{others}, and here are {entries} "
        f"entries without {them}."
    )
    return LedgerError(message, remedy=REMEDY)


def _broken(number: int, what: str) -> LedgerError:
    return LedgerError(f"entry {number} of the ledger {what}.", remedy=REMEDY)
