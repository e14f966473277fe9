import numpy as np
import pytest

from consilia.errors import DataError, TaskError
from consilia_workers.datasets import sites
from consilia_workers.task import DataSource, Split
from consilia_workers.tasks.stroke import BASELINE, Stroke, features, labels, read_trial

KNOWN_AT_RANDOMISATION = {
    *("HOSPNUM", "RDELAY", "RCONSC", "SEX", "AGE", "RSLEEP", "RATRIAL", "RCT", "RVISINF", "RHEP24", "RASP3", "RSBP"),
    *("RDEF1", "RDEF2", "RDEF3", "RDEF4", "RDEF5", "RDEF6", "RDEF7", "RDEF8", "STYPE", "RDATE", "HOURLOCAL"),
    *("MINLOCAL", "DAYLOCAL", "RXASP", "RXHEP"),
}
"""By the data dictionary in Trials 2011;12:101; all columns after these were filled in at 14 days or 6 months."""

PATIENTS = {  # with a known outcome: (14 days, 6 months)
    "argentina": (545, 519),
    "australia": (597, 594),
    "czechia": (466, 466),
    "italy": (3437, 3437),
    "netherlands": (728, 713),
    "new-zealand": (453, 451),
    "norway": (526, 526),
    "poland": (759, 755),
    "portugal": (415, 414),
    "spain": (478, 463),
    "sweden": (636, 630),
    "switzerland": (1631, 1631),
    "uk": (6257, 6252),
}


class Watched(dict):
    """A table that remembers which of its columns were looked at."""

    def __init__(self, columns):
        super().__init__(columns)
        self.seen = set()

    def __getitem__(self, name):
        self.seen.add(name)
        return super().__getitem__(name)


@pytest.fixture
def folder(real_data):
    return real_data("ist")


@pytest.fixture
def trial(folder):
    return read_trial(folder / "IST.rda")


def part(folder, hospital, split, **parameters):
    return Stroke(parameters).data(DataSource(hospital=hospital, path=folder), split).tensors


def patients(*parts):
    """Every patient's features and label, sorted, so that two ways of cutting can be compared."""
    return sorted((*row, label) for rows, labels_ in parts for row, label in zip(rows.tolist(), labels_, strict=True))


def test_the_features_look_at_nothing_but_what_was_known_at_randomisation(trial):
    watched = Watched(trial)
    assert features(watched).shape == (19_435, 34)
    assert watched.seen == set(BASELINE) <= KNOWN_AT_RANDOMISATION


def test_the_features_are_of_order_one(trial):
    table = features(trial)
    assert np.isfinite(table).all()
    assert np.abs(table).max() < 6
    assert np.abs(table.mean(axis=0)).max() < 1


@pytest.mark.parametrize("hospital", sites("stroke"))
def test_each_country_has_its_patients_of_known_outcome(folder, hospital):
    counted = tuple(
        sum(len(part(folder, hospital, split, outcome=outcome)[1]) for split in Split)
        for outcome in ("death14", "dependent6m")
    )
    assert counted == PATIENTS[hospital]


def test_the_outcomes_are_those_of_the_published_trial(trial):
    dead, dependent = labels(trial, "death14"), labels(trial, "dependent6m")
    assert dead.mean() == pytest.approx(0.0916, abs=5e-5)
    assert np.nanmean(dependent) == pytest.approx(0.6287, abs=5e-5)
    assert np.isnan(dependent).sum() == 150


@pytest.mark.parametrize(("folds", "repeat"), [(5, 0), (5, 3), (3, 0)])
def test_each_patient_is_tested_in_one_fold_and_trained_on_in_the_others(folder, folds, repeat):
    cut = [
        [part(folder, "portugal", split, folds=folds, fold=fold, repeat=repeat) for split in Split]
        for fold in range(folds)
    ]
    everybody = patients(*cut[0])
    assert len(everybody) == 415
    assert all(patients(*parts) == everybody for parts in cut)
    assert patients(*(test for _, test in cut)) == everybody


def test_the_folds_keep_the_share_of_deaths(folder):
    deaths = [int(part(folder, "portugal", Split.TEST, fold=fold)[1].sum()) for fold in range(5)]
    assert max(deaths) - min(deaths) <= 1


def test_a_repeat_is_another_cut_and_the_same_repeat_the_same_cut(folder):
    first, again, other = (part(folder, "norway", Split.TEST, repeat=repeat)[0] for repeat in (0, 0, 1))
    assert first.equal(again)
    assert first.shape != other.shape or not first.equal(other)


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"fold": 5}, r"parameter fold is 5\. .*from 0 to 4"),
        ({"fold": -1}, r"from 0 to 4"),
        ({"folds": 1}, r"parameter folds is 1\. .*from 2 to 20"),
        ({"fold": "two"}, r"parameter fold is 'two'"),
        ({"repeat": 0.5}, r"parameter repeat is 0.5"),
        ({"fold": True}, r"parameter fold is True"),
        ({"outcome": "death"}, r"no outcome 'death'\. .*death14.*dependent6m"),
    ],
)
def test_parameters_out_of_range_are_refused(folder, parameters, complaint):
    with pytest.raises(TaskError, match=complaint):
        part(folder, "norway", Split.TRAIN, **parameters)


def test_a_damaged_or_missing_file_is_named_with_the_remedy(tmp_path):
    with pytest.raises(DataError, match=r"IST\.rda is missing\. .*consilia data get stroke"):
        part(tmp_path, "uk", Split.TRAIN)
    (tmp_path / "IST.rda").write_bytes(b"<html>Not found</html>")
    with pytest.raises(DataError, match=r"IST\.rda is damaged: .*consilia data get stroke"):
        part(tmp_path, "uk", Split.TRAIN)
