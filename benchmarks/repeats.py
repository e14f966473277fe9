"""Several runs of the same thing become one: the median of each figure."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from statistics import median
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

WORST = "wall_seconds_worst"
"""Of the worst round it is the worst that counts."""

_T = TypeVar("_T", bound="DataclassInstance")


def together(runs: Sequence[_T]) -> _T:
    """The medians; what is no figure, or a count, is taken from the first run."""
    columns = {name: [asdict(run)[name] for run in runs] for name in asdict(runs[0])}
    figures = {name: values for name, values in columns.items() if isinstance(values[0], float)}
    return replace(
        runs[0],
        **{name: max(values) if name == WORST else round(median(values), 4) for name, values in figures.items()},
    )
