"""Narrowed coronary arteries at four real hospitals: UCI heart disease, prepared as FLamby does.

As in FLamby's Fed-Heart-Disease (du Terrail et al. 2022, https://github.com/owkin/FLamby), so that figures can be
compared: the columns slope, ca and thal are left out because three hospitals hardly recorded them, then every patient
with a missing value; 66 % of each hospital's patients are trained on, 34 % tested; the model is logistic regression.
Cholesterol 0 means "not measured" (everywhere in Switzerland) and is kept, as FLamby keeps it.

Parameter of the task:
    answers: "counted" makes answers 1 and 0 (default), "centred" a half more and less than nothing, which suits
        differential privacy
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import Dataset

from consilia_workers.task import Batch, DataSource, Split
from consilia_workers.tasks.tabular import BinaryTabular, as_dataset, coded, damaged, file_of, site_of

DATASET = "heart-disease"
COLUMNS = 14
"""age, sex, cp, trestbps, chol, fbs, restecg, thalach, exang, oldpeak, slope, ca, thal, num."""
KEPT = [*range(10), 13]
"""All but slope, ca and thal."""


class HeartDisease(BinaryTabular):
    """Logistic regression on 13 features; label 1 is a coronary artery narrowed by more than half."""

    def model(self) -> nn.Module:
        """14 parameters."""
        return nn.Linear(13, 1)

    def data(self, source: DataSource, split: Split) -> Dataset[Batch]:
        """One hospital's part of FLamby's split: 199/104, 172/89, 30/16 and 85/45 patients."""
        site = site_of(source, DATASET)
        patients = read_patients(file_of(source, DATASET, f"processed.{site}.data"))
        diseased = patients[:, -1] > 0
        chosen = flamby_split(diseased)[split]
        return as_dataset(features(patients, self.parameters)[chosen], diseased[chosen])


def read_patients(path: Path) -> NDArray[np.float64]:
    """The patients with nothing missing: ten measurements each and the diagnosis, 0 (healthy) to 4; shape (n, 11)."""
    lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    table = np.array([_row(path, number, line) for number, line in enumerate(lines, 1)]).reshape(-1, COLUMNS)
    kept = table[:, KEPT]
    complete: NDArray[np.float64] = kept[~np.isnan(kept).any(axis=1)]
    if len(complete) < 2:
        raise damaged(path, DATASET, f"it holds {len(complete)} complete patients")
    return complete


def _row(path: Path, number: int, line: str) -> list[float]:
    cells = line.split(",")
    if len(cells) != COLUMNS:
        raise damaged(path, DATASET, f"line {number} has {len(cells)} columns instead of {COLUMNS}")
    try:
        return [float("nan") if cell == "?" else float(cell) for cell in cells]
    except ValueError as error:
        raise damaged(path, DATASET, f"line {number}: {error}") from None


def features(
    patients: NDArray[np.float64], parameters: Mapping[str, Any] = MappingProxyType({})
) -> NDArray[np.float64]:
    """Thirteen numbers a patient, of order one.

    Centre and scale are round clinical values, fixed here: an ordinary middle-aged patient is near 0. Nothing is
    estimated from anybody's data; and a hospital whose patients are sicker still looks sicker, which scaling
    each hospital by itself would hide.
    """
    age, sex, pain, pressure, cholesterol, sugar, ecg, heart_rate, angina, st_depression = patients[:, :10].T
    vitals = [(age - 55) / 10, (pressure - 130) / 20, (cholesterol - 200) / 100, (heart_rate - 140) / 25]
    chest_pain = [pain == kind for kind in (2, 3, 4)]
    resting_ecg = [ecg == kind for kind in (1, 2)]
    answers = np.column_stack([sex, sugar, angina, *chest_pain, *resting_ecg]) > 0
    return np.column_stack([*vitals, st_depression, coded(answers, parameters)]).astype(np.float64)


def flamby_split(labels: NDArray[np.bool_]) -> dict[Split, NDArray[np.intp]]:
    """Row numbers by split. Stratified by label, except where a class has no more than two patients (Switzerland)."""
    stratify = labels if min(labels.sum(), (~labels).sum()) > 2 else None
    train, test = train_test_split(
        np.arange(len(labels)), train_size=0.66, test_size=1.0 - 0.66, random_state=43, stratify=stratify
    )
    return {Split.TRAIN: np.sort(train), Split.TEST: np.sort(test)}
