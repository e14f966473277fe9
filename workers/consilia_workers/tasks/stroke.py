"""Death and disability after stroke: the International Stroke Trial, each country with 400 patients or more a hospital.

International Stroke Trial database, version 2 (Sandercock, Niewada and Czlonkowska 2011, Trials 12:101). Only what was
known when a patient was randomised is read, the allocated treatment included; what was written down later (the columns
from DASP14 on) would give the outcome away.

Parameters of the task:
    outcome: "death14", dead within 14 days (default), or "dependent6m", dead or dependent on others after six months
    folds, fold: into how many parts each hospital's patients are cut (default 5), and which of them is tested, from 0
    repeat: the number of another such cut (default 0)
    answers: "counted" makes answers 1 and 0 (default), "centred" a half more and less than nothing, which suits
        differential privacy
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold
from torch import nn
from torch.utils.data import Dataset

from consilia.errors import DataError, TaskError
from consilia_workers.datasets.rda import Column, read_data_frame
from consilia_workers.task import Batch, DataSource, Split
from consilia_workers.tasks.tabular import BinaryTabular, as_dataset, coded, damaged, file_of, site_of, whole_number

DATASET = "stroke"

CODES = {
    "argentina": "ARGE",
    "australia": "AUSL",
    "czechia": "CZEC",
    "italy": "ITAL",
    "netherlands": "NETH",
    "new-zealand": "NEW",
    "norway": "NORW",
    "poland": "POLA",
    "portugal": "PORT",
    "spain": "SPAI",
    "sweden": "SWED",
    "switzerland": "SWIT",
    "uk": "UK",
}
"""The trial's name for each site."""

TYPICAL = {"AGE": (72, 12), "RDELAY": (20, 12), "RSBP": (160, 28)}
"""Years, hours since the stroke, mmHg: round typical values and spreads, fixed here, the same for every hospital."""

YES_NO = ("RSLEEP", "RATRIAL", "RCT", "RVISINF", "RXASP")
DEFICITS = tuple(f"RDEF{number}" for number in range(1, 9))
ANSWERS = (
    {"SEX": "M", "RCONSC": "D U", "STYPE": "LACS POCS TACS OTH", "RXHEP": "L M H"}
    | dict.fromkeys(YES_NO, "Y")
    | dict.fromkeys(DEFICITS, "Y C")
)
"""The answers that become a feature of their own; 0 in all of them is the remaining answer, or none given."""

BASELINE = (*TYPICAL, *ANSWERS)
"""All columns that the features are made of; every one was recorded before or at randomisation."""


class Stroke(BinaryTabular):
    """Logistic regression on 34 features; label 1 is the bad outcome."""

    def model(self) -> nn.Module:
        """35 parameters."""
        return nn.Linear(34, 1)

    def data(self, source: DataSource, split: Split) -> Dataset[Batch]:
        """The patients of one country whose outcome is known: those of the tested fold, or all others."""
        code = CODES[site_of(source, DATASET)]
        trial = read_trial(file_of(source, DATASET, "IST.rda"))
        outcome = labels(trial, self.parameters.get("outcome", "death14"))
        patients = np.flatnonzero((trial["COUNTRY"] == code) & ~np.isnan(outcome))
        chosen = patients[self._fold(outcome[patients], split)]
        return as_dataset(features(trial, self.parameters)[chosen], outcome[chosen])

    def _fold(self, outcome: NDArray[np.float64], split: Split) -> NDArray[np.intp]:
        folds = whole_number(self.parameters, "folds", default=5, bounds=(2, 20))
        fold = whole_number(self.parameters, "fold", default=0, bounds=(0, folds - 1))
        repeat = whole_number(self.parameters, "repeat", default=0, bounds=(0, 10_000))
        cut = StratifiedKFold(folds, shuffle=True, random_state=repeat).split(outcome, outcome)
        train, test = list(cut)[fold]
        chosen: NDArray[np.intp] = train if split is Split.TRAIN else test
        return chosen


@cache
def read_trial(path: Path) -> Mapping[str, Column]:
    """The columns that this task needs, of all 19,435 patients; kept, as unpacking them takes most of a second."""
    try:
        return read_data_frame(path, (*BASELINE, "COUNTRY", "ID14", "OCCODE"))
    except DataError as error:
        raise damaged(path, DATASET, error.message) from None


def labels(trial: Mapping[str, Column], outcome: str) -> NDArray[np.float64]:
    """1 for the bad outcome, 0 for the good one, NaN where it is not known.

    Raises:
        TaskError: no outcome has that name.
    """
    match outcome:
        case "death14":
            return trial["ID14"]
        case "dependent6m":  # 1 dead, 2 dependent, 3 not recovered but independent, 4 recovered, 0 and 9 not known
            return np.select([np.isin(trial["OCCODE"], (1, 2)), np.isin(trial["OCCODE"], (3, 4))], [1.0, 0.0], np.nan)
    raise TaskError(
        f"stroke has no outcome {outcome!r}.", remedy='Set the parameter outcome to "death14" or "dependent6m".'
    )


def features(trial: Mapping[str, Column], parameters: Mapping[str, Any] = MappingProxyType({})) -> NDArray[np.float64]:
    """34 numbers a patient, of order one."""
    measured = [(trial[name] - centre) / scale for name, (centre, scale) in TYPICAL.items()]
    answered = [trial[name] == answer for name, answers in ANSWERS.items() for answer in answers.split()]
    return np.column_stack([*measured, coded(np.column_stack(answered), parameters)]).astype(np.float64)
