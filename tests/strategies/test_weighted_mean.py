"""Federated averaging: exact where it can be, within the hospitals' range always."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from consilia_workers.strategies.interface import Cohort
from consilia_workers.strategies.weighted_mean import WeightedMean


def mean_of(blocks, samples):
    names = tuple(f"hospital-{k}" for k in range(len(blocks)))
    return WeightedMean().combine(Cohort(hospitals=names, samples=tuple(samples)), blocks)


@pytest.mark.parametrize(
    ("values", "samples", "expected"),
    [
        ([2.0], [17], 2.0),
        ([2.0, 6.0], [1, 1], 4.0),
        ([2.0, 6.0], [1, 3], 5.0),
        ([-1.0, 0.0, 4.0], [250, 500, 250], 0.75),
        ([1.0, 2.0, 4.0, 8.0], [303, 294, 123, 200], 2983 / 920),  # the four hospitals of heart_disease
        ([1.0, 0.0], [2**40, 1], 2**40 / (2**40 + 1)),
        ([3e38, -3e38], [1, 1], 0.0),
        ([3e38, 3e38], [2**40, 2**40], float(np.float32(3e38))),
    ],
)
def test_every_hospital_weighs_as_much_as_its_samples(values, samples, expected):
    blocks = [np.array([value], np.float32) for value in values]
    assert mean_of(blocks, samples).tolist() == [expected]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@given(data=st.data())
def test_one_hospital_gets_its_parameters_back_to_the_bit(dtype, data):
    width = np.dtype(dtype).itemsize * 8
    block = data.draw(hnp.arrays(dtype, (5,), elements=st.floats(allow_nan=False, allow_infinity=False, width=width)))
    combined = mean_of([block], [data.draw(st.integers(1, 2**40))])
    assert combined.astype(dtype).tobytes() == block.tobytes()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_one_hospital_keeps_denormals_extremes_and_the_sign_of_zero(dtype):
    kind = np.finfo(dtype)
    block = np.array([0.0, -0.0, kind.smallest_subnormal, -kind.smallest_normal, kind.max, kind.min, kind.eps], dtype)
    assert mean_of([block], [29_531]).astype(dtype).tobytes() == block.tobytes()


counts = st.lists(st.integers(1, 2**24), min_size=1, max_size=31)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), counts)
def test_hospitals_that_agree_get_their_parameters_back_to_the_bit(value, samples):
    blocks = [np.array([value], np.float32)] * len(samples)
    assert mean_of(blocks, samples).astype(np.float32).tobytes() == blocks[0].tobytes()


@given(counts, st.data())
def test_the_mean_never_leaves_the_hospitals_range(samples, data):
    finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
    rows = data.draw(hnp.arrays(np.float32, (len(samples), 4), elements=finite))
    combined = mean_of(list(rows), samples)
    assert (rows.min(axis=0) <= combined).all()
    assert (combined <= rows.max(axis=0)).all()


def test_the_updates_themselves_are_left_as_they_are():
    blocks = [np.frombuffer(np.arange(4, dtype=np.float32).tobytes(), np.float32) for _ in range(3)]
    mean_of(blocks, [1, 2, 3])
    assert all(block.tolist() == [0, 1, 2, 3] for block in blocks)
