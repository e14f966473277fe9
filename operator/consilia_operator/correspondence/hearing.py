"""What a hospital makes of what it hears from its hub: new, known, or not to be believed. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from consilia.errors import CorrespondenceError, Objection
from consilia.log import Record
from consilia.wire.correspondence import FromHub, Recall


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


def require_new(letter: FromHub, heard: Heard, known: Mapping[str, int]) -> None:
    """See that nothing newer was said of the same job, nor of a job that is gone. `known`: serials by jobs' uids.

    Raises:
        CorrespondenceError: something was.
    """
    newest = known.get(letter.uid)
    if newest is None and (isinstance(letter, Recall) or letter.serial > heard.serial):
        return
    if newest is not None and letter.serial >= newest:
        return
    message = f"letter {letter.serial} of job {letter.uid} comes after a newer one: somebody has sent it again."
    raise CorrespondenceError(Objection.REPLAYED, message)
