import hashlib

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from consilia.errors import DataError
from consilia_workers.datasets import sites
from consilia_workers.task import DataSource, Split
from consilia_workers.tasks.breast_cancer import BreastCancer, patients_of


def test_every_patient_belongs_to_one_hospital():
    hospitals = [patients_of(site) for site in sites("breast-cancer")]
    assert sorted(np.concatenate(hospitals)) == list(range(569))


def test_the_partition_is_the_same_everywhere():
    hospitals = [patients_of(site) for site in sites("breast-cancer")]
    assert [len(patients) for patients in hospitals] == [271, 184, 114]
    dealt = b"|".join(",".join(map(str, patients)).encode() for patients in hospitals)
    assert hashlib.sha256(dealt).hexdigest() == "c2edc4b644590a0f9de2ee6c5db63aba3aa5ede8ecb4e2a058881c69cb9047c0"


def test_tumours_grow_from_riverside_to_hilltop():
    radius = load_breast_cancer().data[:, 0]
    means = [radius[patients_of(site)].mean() for site in sites("breast-cancer")]
    assert np.diff(means).min() > 1  # mm


@pytest.mark.parametrize(
    ("hospital", "train", "test"), [("riverside", 203, 68), ("lakeview", 138, 46), ("hilltop", 85, 29)]
)
def test_train_and_test_share_no_patient(hospital, train, test):
    parts = [BreastCancer({}).data(DataSource(hospital=hospital), split).tensors[0] for split in Split]
    assert [len(part) for part in parts] == [train, test]
    rows = {tuple(row) for part in parts for row in part.tolist()}
    assert len(rows) == train + test


def test_label_one_is_malignant():
    _, labels = BreastCancer({}).data(DataSource(hospital="hilltop"), Split.TRAIN).tensors
    assert labels.mean() > 0.5  # of large tumours most are malignant


def test_an_unknown_hospital_is_told_the_names():
    with pytest.raises(DataError, match="riverside, lakeview, hilltop"):
        BreastCancer({}).data(DataSource(hospital="seaside"), Split.TRAIN)
