"""Whom a step may sample, and what others may know of how many there are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilia.errors import TaskError
from consilia.privacy.sizes import public_size
from consilia_workers.privacy.cohort import Cohort

PATIENTS = np.array([4, 0, 4, 1, 0, 4])


def test_records_are_their_own_units():
    cohort = Cohort.of(6, None, by_patient=False, told=None)
    rows, unit_of = cohort.rows(np.array([True, False, False, True, False, False]))

    assert (cohort.count, cohort.public, rows.tolist(), unit_of) == (6, 6, [0, 3], None)


def test_a_patient_is_sampled_with_all_records():
    cohort = Cohort.of(6, PATIENTS, by_patient=True, told=None)
    rows, unit_of = cohort.rows(np.array([True, False, True]))

    assert cohort.count == 3
    assert rows.tolist() == [1, 4, 0, 2, 5]
    assert unit_of.tolist() == [0, 0, 2, 2, 2]


@given(st.integers(1, 400), st.integers(1, 400))
def test_others_learn_what_the_hospital_says_rounded_down_or_a_step_below_the_count(count, told):
    said = Cohort.of(count, None, by_patient=False, told=told)
    counted = Cohort.of(count, None, by_patient=False, told=None)

    assert said.public <= told
    assert counted.public <= count
    assert Cohort.of(counted.public, None, by_patient=False, told=None).public == counted.public


@given(st.integers(1, 10**6))
def test_the_most_that_are_told_alike_end_where_the_next_step_begins(count):
    cohort = Cohort(public=public_size(count), members=np.arange(0), unit_of=np.arange(0), grouped=False)

    assert count <= cohort.most
    assert public_size(cohort.most) == public_size(count) < public_size(cohort.most + 1)


def test_patients_cannot_be_hidden_if_nobody_knows_them():
    with pytest.raises(TaskError, match="does not say whose each record is"):
        Cohort.of(6, None, by_patient=True, told=None)
