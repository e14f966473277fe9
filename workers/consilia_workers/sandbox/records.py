"""The trainer's side of the reader: a split's records, whoever's code read them. Nothing of what came is executed.

Nor is it quoted in an error; and all errors are of one kind, for others are told the kind of the error that stopped us.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from consilia.errors import TaskError
from consilia_workers.sandbox.frames import BrokenFrameError, Frame, read_arrays
from consilia_workers.sandbox.keeper import Confined
from consilia_workers.source import Split
from consilia_workers.task import Batch

_MOST_LEAVES = 64
_KEY = re.compile(r"[A-Za-z0-9_]{1,64}")


class Records:
    """One split at one hospital."""

    def __init__(self, reader: Confined, split: Split) -> None:
        """Asks the reader what there is.

        Raises:
            TaskError: the reader failed, or there are no records: which of them, is not for others to tell apart.
        """
        self._reader, self._split = reader, split
        head = reader.ask({"ask": "open", "split": split}).head
        self.count = count_of(head.get("records"))
        if self.count == 0:
            raise TaskError(
                f"there are no records in the {split} split.", remedy="See what the Dataset's source holds."
            )
        self._whole = self._taken(None) if head.get("whole") is True else None

    def take(self, rows: NDArray[np.int64]) -> Batch:
        """Some of the records, as a batch; shapes (rows, ...)."""
        if self._whole is None:
            return self._taken(rows)
        chosen = torch.from_numpy(rows)
        return _mapped(self._whole, lambda leaf: leaf[chosen])

    def example(self) -> Batch:
        """One record, for its shapes."""
        return self.take(np.zeros(1, dtype=np.int64))

    @property
    def whole(self) -> bool:
        """Whether all records are here, so that the reader need not be asked for them again."""
        return self._whole is not None

    @cached_property
    def patients(self) -> NDArray[np.int64] | None:
        """Whose each record is, as numbers from 0; None where the task does not say.

        Raises:
            TaskError: the reader failed, or gives something else.
        """
        answer = self._reader.ask({"ask": "patients", "split": self._split})
        if answer.head.get("told") is not True:
            return None
        found = np.frombuffer(answer.body, dtype="<i8")
        if len(found) != self.count or (found < 0).any() or (found >= self.count).any():
            raise TaskError("the task's patients() does not tell whose each record is.")
        return found

    def _taken(self, rows: NDArray[np.int64] | None) -> Batch:
        question = {"ask": "take", "split": self._split, "some": rows is not None}
        body: Sequence[bytes] = [] if rows is None else [rows.astype("<i8").tobytes()]
        batch = _batch(self._reader.ask(question, body))
        expected = self.count if rows is None else len(rows)
        leaves = list(batch.values()) if isinstance(batch, dict) else batch if isinstance(batch, list) else [batch]
        if any(leaf.ndim == 0 or len(leaf) != expected for leaf in leaves):
            raise TaskError(f"the reader gave other than {expected} records.", remedy="See the task's data().")
        return batch


def count_of(told: object) -> int:
    """How many records there are, as a confined process says.

    Raises:
        TaskError: it said something else, which is not repeated.
    """
    if not isinstance(told, int) or isinstance(told, bool) or not 0 <= told < 2**40:
        raise TaskError("the reader did not say how many records there are.")
    return told


def _batch(frame: Frame) -> Batch:
    try:
        leaves = [torch.from_numpy(array.copy()) for array in read_arrays(frame.head.get("arrays"), frame.body)]
    except BrokenFrameError as error:
        raise TaskError(f"the reader's records cannot be read: {error}.") from None
    match frame.head.get("keys"):
        case None if len(leaves) == 1:
            return leaves[0]
        case list(keys) if len(keys) == len(leaves) <= _MOST_LEAVES:
            if frame.head.get("table") is not True:
                return leaves
            if all(isinstance(key, str) and _KEY.fullmatch(key) for key in keys) and len(set(keys)) == len(keys):
                return dict(zip(keys, leaves, strict=True))
    raise TaskError("the reader's records have no form that is known.")


def _mapped(batch: Batch, change: Any) -> Batch:  # noqa: ANN401 (a function of a tensor)
    match batch:
        case Tensor():
            return change(batch)
        case dict():
            return {key: change(leaf) for key, leaf in batch.items()}
        case _:
            return [change(leaf) for leaf in batch]
