"""Heart failure within a year: a children's, a general and an oncology hospital, all patients made up.

The patients, and the law their risk follows, are described in `consilia_workers.datasets.heart_failure`.

Parameter of the task:
    test: "region" tests every hospital's model on new patients of all three hospitals alike (default), "own" only on
        new patients of its own. Children with heart disease grow up and survivors of cancer grow old, so a model meets
        patients of all three kinds wherever it is used.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import Dataset

from consilia.errors import TaskError
from consilia_workers.datasets import sites
from consilia_workers.datasets.heart_failure import generate
from consilia_workers.task import Batch, DataSource, Split
from consilia_workers.tasks.tabular import BinaryTabular, as_dataset, site_of

DATASET = "heart-failure"
TRAINED_ON = 7_500
"""The first so many of a hospital's 10,000 patients are trained on, the others tested."""


class HeartFailure(BinaryTabular):
    """A small network on 11 features; label 1 is an admission for heart failure, or death of it, within a year."""

    def model(self) -> nn.Module:
        """1,473 parameters."""
        return nn.Sequential(nn.Linear(11, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))

    def data(self, source: DataSource, split: Split) -> Dataset[Batch]:
        """7,500 of a hospital's own patients to train on; to test on 2,500 others, or 2,500 of each hospital."""
        site = site_of(source, DATASET)
        if split is Split.TRAIN:
            return _patients([site], slice(TRAINED_ON))
        return _patients(self._tested(site), slice(TRAINED_ON, None))

    def _tested(self, site: str) -> Sequence[str]:
        match self.parameters.get("test", "region"):
            case "region":
                return sites(DATASET)
            case "own":
                return [site]
            case other:
                raise TaskError(
                    f"heart-failure has no test set {other!r}.", remedy='Set the parameter test to "region" or "own".'
                )


def _patients(hospitals: Sequence[str], part: slice) -> Dataset[Batch]:
    generated = [generate(hospital) for hospital in hospitals]
    rows = np.concatenate([features(patients)[part] for patients, _ in generated])
    return as_dataset(rows, np.concatenate([fails[part] for _, fails in generated]))


def features(patients: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Eleven numbers a patient, of order one: skewed ones by their logarithm, all with a fixed centre and scale."""
    return np.column_stack(
        [
            (patients["age"] - 50) / 20,
            patients["female"],
            patients["anthracycline"] / 200,
            (patients["ejection"] - 55) / 10,
            np.log(patients["nt_probnp"] / 250),
            np.log(patients["creatinine"]),
            (patients["sodium"] - 140) / 4,
            (patients["systolic"] - 125) / 20,
            (patients["heart_rate"] - 80) / 20,
            patients["nyha"] - 2,
            patients["diabetes"],
        ]
    )
