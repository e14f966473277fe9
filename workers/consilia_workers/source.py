"""Where a hospital's data is. Apart from `task`, so that reading it does not load torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Split(StrEnum):
    """Which part of a hospital's data is asked for; the two must not share a patient."""

    TRAIN = "train"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """Where one hospital's data is, as its `Dataset` resource says."""

    hospital: str
    """The hospital's name, as on the job's roster."""
    path: Path | None = None
    """The mounted folder or file; None for data that ships inside a package or is generated."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What else the `Dataset` says, for the task to interpret: a site, a table, a column."""
