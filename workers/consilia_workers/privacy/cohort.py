"""Whom a step may sample: records, or patients with all of their records."""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from consilia.errors import TaskError
from consilia.privacy.sizes import SIZES, public_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """The units that are trained on."""

    public: int
    """How many there are, as far as others may know."""
    members: NDArray[np.int64]
    """The records that are trained on, by their numbers; each unit's together."""
    unit_of: NDArray[np.int64]
    """The unit of each of them, numbered from 0 in increasing order."""
    grouped: bool
    """Whether units may have several records."""

    @classmethod
    def of(cls, records: int, patients: NDArray[np.int64] | None, *, by_patient: bool, told: int | None) -> Self:
        """From how many records there are, whose each is, and how many units the hospital says that there are.

        Raises:
            TaskError: patients are to be hidden, and the task does not say whose records are whose.
        """
        if by_patient and patients is None:
            message = "privacy.unit is Patient, but the task does not say whose each record is."
            raise TaskError(message, remedy="Implement patients() in the task, or set unit: Record.")
        owner = patients if by_patient and patients is not None else np.arange(records)
        order = np.argsort(owner, kind="stable")
        _, unit_of = np.unique(owner[order], return_inverse=True)
        count = int(unit_of[-1]) + 1 if len(unit_of) else 0
        return cls(
            public=max(public_size(told if told is not None else count), 1),
            members=order,
            unit_of=unit_of.astype(np.int64),
            grouped=by_patient,
        )

    @property
    def count(self) -> int:
        """How many units there are. Nobody else may know."""
        return int(self.unit_of[-1]) + 1 if len(self.unit_of) else 0

    @property
    def most(self) -> int:
        """The most units that a cohort may have of which others are told the same."""
        return largest_told_alike(self.public)

    def rows(self, chosen: NDArray[np.bool_]) -> tuple[NDArray[np.int64], Tensor | None]:
        """The records of the chosen units, and the unit of each where units may have several records."""
        taken = chosen[self.unit_of]
        return self.members[taken], torch.from_numpy(self.unit_of[taken]) if self.grouped else None


def largest_told_alike(count: int) -> int:
    """The largest count that is told as this one is: one below the next step."""
    after = bisect_right(SIZES, count)
    return SIZES[after] - 1 if after < len(SIZES) else count
