"""How far a hospital has listened to its hub, and what of the rest is news. Pure."""

from dataclasses import dataclass, replace

from consilia.errors import CorrespondenceError, Objection
from consilia.log import Record
from consilia.wire.correspondence import FromHub


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """How far a hospital has listened; it is kept, and only ever grows."""

    serial: int = 0
    """Of the newest letter."""
    offset: int = 0
    """Behind the last record that was dealt with."""

    def after(self, record: Record, letter: FromHub | None) -> "Heard":
        """Having dealt with that record, whether or not it was believed."""
        serial = max(self.serial, letter.serial) if letter else self.serial
        return replace(self, serial=serial, offset=record.offset + 1)


def require_new(letter: FromHub, heard: Heard) -> None:
    """See that nothing newer was said before.

    Raises:
        CorrespondenceError: something was.
    """
    if letter.serial <= heard.serial:
        message = f"letter {letter.serial} comes after {heard.serial}, which is newer: somebody has sent it again."
        raise CorrespondenceError(Objection.REPLAYED, message)
