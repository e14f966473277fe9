"""Malignant or benign: the Wisconsin breast cancer data that scikit-learn ships, dealt out to three hospitals.

The data has no hospitals of its own, so three are simulated. Small tumours go mostly to riverside, which screens;
large ones mostly to hilltop, to which others refer; lakeview sees a bit of everything. Each patient is in one hospital:

| mean radius      | riverside | lakeview | hilltop |
|------------------|-----------|----------|---------|
| below 12.5       | 70 %      | 25 %     | 5 %     |
| 12.5 to 15       | 50 %      | 35 %     | 15 %    |
| 15 and more      | 15 %      | 35 %     | 50 %    |
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import Dataset

from consilia_workers.datasets import sites
from consilia_workers.task import Batch, DataSource, Split
from consilia_workers.tasks.tabular import BinaryTabular, as_dataset, site_of

DATASET = "breast-cancer"

RADIUS_BOUNDS = (12.5, 15.0)
SHARES = np.array([[0.70, 0.25, 0.05], [0.50, 0.35, 0.15], [0.15, 0.35, 0.50]])
"""Row: how large the tumour is; column: the share of such patients that each hospital sees."""

TYPICAL = np.array([14, 19, 92, 650, 0.1, 0.1, 0.09, 0.05, 0.18, 0.06])
SPREAD = np.array([3.5, 4.3, 24, 350, 0.014, 0.05, 0.08, 0.04, 0.027, 0.007])
ERROR = np.array([0.4, 1.2, 2.9, 40, 0.007, 0.025, 0.03, 0.012, 0.02, 0.004])
CENTRE = np.concatenate([TYPICAL, ERROR, TYPICAL * 1.2])
SCALE = np.concatenate([SPREAD, ERROR, SPREAD * 1.5])
"""Rounded typical values and spreads of the 30 measurements (mean, standard error, worst of ten each): fixed in the
code, the same for everybody, so that no hospital has to reveal a statistic of its own patients."""


class BreastCancer(BinaryTabular):
    """Logistic regression on 30 measurements of cell nuclei; label 1 is malignant."""

    def model(self) -> nn.Module:
        """31 parameters."""
        return nn.Linear(30, 1)

    def data(self, source: DataSource, split: Split) -> Dataset[Batch]:
        """Three quarters of a hospital's patients to train on, one quarter to test on."""
        patients = patients_of(site_of(source, DATASET))
        features, benign = load_breast_cancer(return_X_y=True)
        train, test = train_test_split(patients, test_size=0.25, random_state=0, stratify=benign[patients])
        chosen = train if split is Split.TRAIN else test
        return as_dataset((features[chosen] - CENTRE) / SCALE, 1 - benign[chosen])


def patients_of(site: str) -> NDArray[np.intp]:
    """The row numbers of a hospital's patients, in increasing order."""
    radius = load_breast_cancer().data[:, 0]
    draws = np.random.Generator(np.random.PCG64(569)).random(len(radius))
    bounds = SHARES.cumsum(axis=1)[np.digitize(radius, RADIUS_BOUNDS)]
    hospital = (draws[:, None] >= bounds[:, :-1]).sum(axis=1)
    return np.flatnonzero(hospital == sites(DATASET).index(site))
