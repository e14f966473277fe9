"""Records that belong together, such as a patient's: gathered so that each unit is computed as a whole."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Records that are computed at once."""

    rows: Tensor
    """Their numbers in the batch."""
    unit: Tensor
    """Which unit of the group each belongs to."""
    share: Tensor
    """How much each counts in its unit's mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Whole units: those that fit into one piece, or a single one that takes several."""

    units: int
    pieces: tuple[Piece, ...]


def groups_of(unit_of: Tensor, lanes: int) -> Iterator[Group]:
    """All records in groups of whole units, at most `lanes` records a piece; `unit_of` numbers each record's unit."""
    order = torch.argsort(unit_of, stable=True)
    sizes = torch.unique_consecutive(unit_of[order], return_counts=True)[1].tolist()
    members = list(torch.split(order, sizes)) if sizes else []
    waiting: list[Tensor] = []
    for rows in members:
        if waiting and sum(map(len, waiting)) + len(rows) > lanes:
            yield _group(waiting, lanes)
            waiting = []
        waiting.append(rows)
    if waiting:
        yield _group(waiting, lanes)


def _group(members: list[Tensor], lanes: int) -> Group:
    rows = torch.cat(members)
    unit = torch.cat([torch.full((len(part),), k) for k, part in enumerate(members)])
    share = torch.cat([torch.full((len(part),), 1 / len(part), dtype=torch.float64) for part in members])
    cuts = zip(*(torch.split(values, lanes) for values in (rows, unit, share)), strict=True)
    return Group(units=len(members), pieces=tuple(Piece(rows=r, unit=u, share=s) for r, u, s in cuts))
