import hashlib

import numpy as np
import pytest

from consilia.errors import DataError, TaskError
from consilia_workers.datasets import sites
from consilia_workers.datasets.heart_failure import PATIENTS, generate, log_odds
from consilia_workers.task import DataSource, Split
from consilia_workers.tasks.heart_failure import HeartFailure

DIGESTS = {
    "childrens": "ba2a8ec3a7132ef9bf6bd6f4e6d5b4b31092bf4e04512c210846660a656b7f85",
    "general": "cf427f18387cb763e25ec0691f9f984a6a539ebc13e1fd6e7b26b7118d7bfb94",
    "oncology": "ac8b3e7a83868eeea04043deb332213c2e166df21ba5b27174063cf4f1f60c6f",
}
"""sha256 of every value and label, the features one after the other as float64."""

HEALTHY = {
    "age": 50,
    "female": 1,
    "anthracycline": 0,
    "ejection": 60,
    "nt_probnp": 150,
    "creatinine": 0.8,
    "sodium": 140,
    "systolic": 125,
    "heart_rate": 70,
    "nyha": 1,
    "diabetes": 0,
}


def part(hospital, split, **parameters):
    return HeartFailure(parameters).data(DataSource(hospital=hospital), split).tensors


@pytest.mark.parametrize("hospital", DIGESTS)
def test_the_patients_are_the_same_bytes_everywhere(hospital):
    values, labels = generate(hospital)
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(column, "<f8").tobytes() for column in values.values()))
    digest.update(labels.astype("u1").tobytes())
    assert digest.hexdigest() == DIGESTS[hospital]


@pytest.mark.parametrize(("hospital", "prevalence"), [("childrens", 0.10), ("general", 0.35), ("oncology", 0.33)])
def test_each_hospital_has_its_documented_prevalence(hospital, prevalence):
    _, labels = generate(hospital)
    assert len(labels) == PATIENTS
    assert labels.mean() == pytest.approx(prevalence, abs=0.01)


@pytest.mark.parametrize(
    ("change", "rise"),
    [
        ({}, 0),
        ({"ejection": 30}, 0.5 * 2),
        ({"nt_probnp": 1500}, 0.25 * np.log(10)),
        ({"anthracycline": 300}, 1.6 * 2),
        ({"anthracycline": 100}, 0),
        ({"diabetes": 1}, 1.7),
        ({"nyha": 3}, 0.25 * 2),
        ({"sodium": 134}, 0.2 * 2),
        ({"sodium": 146}, 0.2 * 2),
        ({"heart_rate": 144.00572}, 2 * 1 / 0.15),
        ({"systolic": 125 + 40}, 0),
        ({"female": 0}, 0),
    ],
)
def test_the_risk_follows_the_documented_formula(change, rise):
    patient = {name: np.array([float(value)]) for name, value in (HEALTHY | change).items()}
    assert log_odds(patient, -6.0)[0] == pytest.approx(-6 + rise, abs=1e-3)


def test_what_one_hospital_treats_another_never_sees():
    seen = {hospital: generate(hospital)[0] for hospital in sites("heart-failure")}
    exposed = {hospital: float((values["anthracycline"] > 0).mean()) for hospital, values in seen.items()}
    assert exposed == {"childrens": 0, "general": 0, "oncology": pytest.approx(0.7, abs=0.02)}
    assert seen["childrens"]["age"].max() <= 18 < seen["oncology"]["age"].min()
    assert seen["general"]["diabetes"].mean() > 5 * seen["oncology"]["diabetes"].mean()


def test_no_hospital_is_tested_on_a_patient_that_any_hospital_trains_on():
    trained = {tuple(row) for hospital in sites("heart-failure") for row in part(hospital, Split.TRAIN)[0].tolist()}
    tested = {tuple(row) for row in part("general", Split.TEST)[0].tolist()}
    assert (len(trained), len(tested), len(trained & tested)) == (22_500, 7_500, 0)


def test_the_region_is_the_same_for_all_and_holds_everybodys_own_test_patients():
    regions = [part(hospital, Split.TEST)[0] for hospital in sites("heart-failure")]
    assert regions[0].equal(regions[1])
    assert regions[0].equal(regions[2])
    own = [part(hospital, Split.TEST, test="own")[0] for hospital in sites("heart-failure")]
    assert [row for rows in own for row in rows.tolist()] == regions[0].tolist()


def test_an_unknown_site_or_test_set_is_refused():
    with pytest.raises(DataError, match="childrens, general, oncology"):
        part("dental", Split.TRAIN)
    with pytest.raises(TaskError, match='"region" or "own"'):
        part("general", Split.TEST, test="everybody")
