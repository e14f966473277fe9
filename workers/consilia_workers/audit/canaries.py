"""Which records are audited, and which of them a fair coin keeps in the training set.

Who knows the coins can tell members from others without an attack, so a split never leaves its hospital. It is drawn
when the job begins and read back ever after: a coin flipped twice would put a held-out record into the model after all.
"""

import secrets
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from consilia.errors import DataError

RecordNumber = Annotated[int, Field(ge=0)]


class AuditSplit(BaseModel):
    """The records that were chosen for the audit, and what their coins said."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    audited: tuple[RecordNumber, ...]
    """Record numbers of the hospital's training set, counted from 0, ascending."""
    included: tuple[bool, ...]
    """For each of them whether it is kept in the training set."""

    @model_validator(mode="after")
    def _one_coin_each(self) -> Self:
        if len(self.audited) != len(self.included):
            raise ValueError(f"{len(self.audited)} audited records have {len(self.included)} coins")
        if any(record >= following for record, following in zip(self.audited, self.audited[1:], strict=False)):
            raise ValueError("audited record numbers must ascend, each once")
        return self

    @property
    def held_out(self) -> tuple[int, ...]:
        """The records that must not be trained on."""
        return tuple(record for record, kept in zip(self.audited, self.included, strict=True) if not kept)

    def training_records(self, records: int) -> list[int]:
        """What remains to be trained on, of so many records.

        Raises:
            DataError: the split is of more records than these.
        """
        if self.audited and self.audited[-1] >= records:
            raise DataError(
                f"the audit's split names record {self.audited[-1]}, the training set has {records}",
                remedy="Give the hospital the data back with which the job began.",
            )
        held_out = frozenset(self.held_out)
        return [record for record in range(records) if record not in held_out]


def draw_split(records: int, audited: int) -> AuditSplit:
    """Choose that many of the records by chance, and flip an independent fair coin for each.

    All randomness is the operating system's: a seed that somebody else knows would be as good as the split itself.

    Raises:
        DataError: there are fewer records than are to be audited.
    """
    if not 0 <= audited <= records:
        raise DataError(
            f"{audited} of {records} records cannot be audited",
            remedy="Audit fewer records, or give the hospital more.",
        )
    chosen = sorted(secrets.SystemRandom().sample(range(records), audited))
    return AuditSplit(audited=tuple(chosen), included=tuple(secrets.randbits(1) == 1 for _ in chosen))
