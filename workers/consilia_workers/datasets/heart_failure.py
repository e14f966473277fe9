"""Made-up patients at risk of heart failure in a children's, a general and an oncology hospital, 10,000 in each.

No patient is real: every number is drawn from the model below. It exists to show, on data that may be shown to
anybody, what learning together is for. The risk factors mean the same everywhere, but no hospital sees them all:
anthracyclines are given in oncology only, diabetes and failing kidneys belong to the old patients of the general
hospital, and what is a normal pulse for a child is an alarm for an adult.

N(m, s) is normal, U(a, b) uniform and B(p) yes with probability p, all drawn independently; (x)+ is the positive part
of x; words in capitals are fields of `Population`. Every patient has an unseen severity s ~ N(SEVERITY, 1).

    age            U(AGES) in the children's hospital, elsewhere N(AGE, AGE_SPREAD) held within AGES; years
    female         B(FEMALE)
    anthracycline  B(EXPOSED) U(100, 600); mg/m2 over the patient's life
    ejection       N(61 - 6 s - 0.015 anthracycline, 5) held within 10..75; left ventricular ejection fraction in %
    nt_probnp      exp N(4.6 + 0.7 s + 0.012 age, 0.7); pg/ml
    creatinine     normal_creatinine exp N(RENAL, 0.3); mg/dl
    sodium         N(140 - s, 2.5) held within 118..155; mmol/l
    systolic       N(normal_systolic + PRESSURE - 3 s, 14) held within 60..230; mmHg
    heart_rate     normal_heart_rate exp N(0.03 s, 0.15) held within 40..220; beats a minute
    nyha           1 + how many of 0.4, 1.3 and 2.2 lie below N(0.8 s, 0.7); NYHA class 1 to 4
    diabetes       B(DIABETES)

with the norms of an age, in years,

    normal_heart_rate  = 72 + 63 exp(-age / 5)
    normal_systolic    = 128 - 48 exp(-age / 9)
    normal_creatinine  = 0.9 - 0.6 exp(-age / 8)

The label is heart failure within a year, an admission or death. Its log-odds are

    BASELINE + 0.5 (50 - ejection)+ / 10 + 0.25 ln(nt_probnp / 150) + 2 (heart_rate / normal_heart_rate - 1)+ / 0.15
    + 1.8 (normal_systolic - 10 - systolic)+ / 15 + 1.6 (anthracycline - 100)+ / 100
    + 2 (creatinine / normal_creatinine - 1.1)+ / 0.4 + 1.7 diabetes + 0.25 (nyha - 1) + 1.5 (age - 60)+ / 10
    + 0.2 |sodium - 140| / 3

and 2 % of the labels are then written down wrong. Measurements are rounded as a clinic records them; that also makes
the bytes the same on every machine, whatever its last bit of exp.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

PATIENTS = 10_000
"""In each hospital."""
MISLABELLED = 0.02

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Who comes to one hospital; the fields are explained at the top of this file."""

    seed: int
    ages: tuple[float, float]
    age: float | None = None
    """The mean age; None where every age is as likely."""
    age_spread: float = 0.0
    female: float
    exposed: float = 0.0
    severity: float
    renal: float = 0.0
    pressure: float = 0.0
    diabetes: float
    baseline: float


POPULATIONS: Mapping[str, Population] = {
    "childrens": Population(seed=1, ages=(0, 18), female=0.46, severity=0.0, diabetes=0.01, baseline=-5.6),
    "general": Population(
        seed=2,
        ages=(35, 98),
        age=69,
        age_spread=12,
        female=0.47,
        severity=0.5,
        renal=0.25,
        pressure=8,
        diabetes=0.36,
        baseline=-6.5,
    ),
    "oncology": Population(
        seed=3,
        ages=(19, 85),
        age=46,
        age_spread=11,
        female=0.66,
        exposed=0.7,
        severity=-0.3,
        diabetes=0.06,
        baseline=-6.4,
    ),
}


def generate(site: str) -> tuple[dict[str, Values], NDArray[np.bool_]]:
    """One hospital's patients: each feature's `PATIENTS` values by name, and the labels.

    The generator is numpy's RandomState, whose stream is frozen for good (NEP 19).
    """
    population = POPULATIONS[site]
    random = RandomState(population.seed)
    patients = _patients(population, random)
    risk = 1 / (1 + np.exp(-log_odds(patients, population.baseline)))
    fails = random.random_sample(PATIENTS) < risk
    return patients, fails ^ _yes(random, MISLABELLED)


def log_odds(patients: Mapping[str, Values], baseline: float) -> Values:
    """The log-odds of heart failure within a year, by the formula at the top of this file."""
    norm = _norms(patients["age"])
    terms = (
        0.5 * _positive(50 - patients["ejection"]) / 10,
        0.25 * np.log(patients["nt_probnp"] / 150),
        2 * _positive(patients["heart_rate"] / norm["heart_rate"] - 1) / 0.15,
        1.8 * _positive(norm["systolic"] - 10 - patients["systolic"]) / 15,
        1.6 * _positive(patients["anthracycline"] - 100) / 100,
        2 * _positive(patients["creatinine"] / norm["creatinine"] - 1.1) / 0.4,
        1.7 * patients["diabetes"],
        0.25 * (patients["nyha"] - 1),
        1.5 * _positive(patients["age"] - 60) / 10,
        0.2 * np.abs(patients["sodium"] - 140) / 3,
    )
    total: Values = baseline + np.sum(terms, axis=0)
    return total


def _patients(population: Population, random: RandomState) -> dict[str, Values]:
    severity = _normal(random, population.severity, 1)
    age = _ages(population, random)
    norm = _norms(age)
    dose = _yes(random, population.exposed) * _uniform(random, (100, 600))
    symptoms = _normal(random, 0.8 * severity, 0.7)
    pressure = norm["systolic"] + population.pressure - 3 * severity
    return {
        "age": age,
        "female": _yes(random, population.female).astype(float),
        "anthracycline": dose.round(-1),
        "ejection": _normal(random, 61 - 6 * severity - 0.015 * dose, 5).clip(10, 75).round(),
        "nt_probnp": np.exp(_normal(random, 4.6 + 0.7 * severity + 0.012 * age, 0.7)).clip(5).round(),
        "creatinine": (norm["creatinine"] * np.exp(_normal(random, population.renal, 0.3))).round(2),
        "sodium": _normal(random, 140 - severity, 2.5).clip(118, 155).round(),
        "systolic": _normal(random, pressure, 14).clip(60, 230).round(),
        "heart_rate": (norm["heart_rate"] * np.exp(_normal(random, 0.03 * severity, 0.15))).clip(40, 220).round(),
        "nyha": 1.0 + np.sum([symptoms > bound for bound in (0.4, 1.3, 2.2)], axis=0),
        "diabetes": _yes(random, population.diabetes).astype(float),
    }


def _ages(population: Population, random: RandomState) -> Values:
    if population.age is None:
        return _uniform(random, population.ages).round(1)
    return _normal(random, population.age, population.age_spread).clip(*population.ages).round(1)


def _norms(age: Values) -> dict[str, Values]:
    return {
        "heart_rate": 72 + 63 * np.exp(-age / 5),
        "systolic": 128 - 48 * np.exp(-age / 9),
        "creatinine": 0.9 - 0.6 * np.exp(-age / 8),
    }


def _normal(random: RandomState, mean: Values | float, spread: float) -> Values:
    return mean + spread * random.standard_normal(PATIENTS)


def _uniform(random: RandomState, bounds: tuple[float, float]) -> Values:
    lowest, highest = bounds
    return lowest + (highest - lowest) * random.random_sample(PATIENTS)


def _yes(random: RandomState, probability: float) -> NDArray[np.bool_]:
    return random.random_sample(PATIENTS) < probability


def _positive(values: Values) -> Values:
    return np.maximum(values, 0.0)
