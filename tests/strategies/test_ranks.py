"""Median and trimmed mean: sorted by a network, out of a minority's reach."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from consilia_workers.strategies.interface import Cohort
from consilia_workers.strategies.median import Median
from consilia_workers.strategies.sorting_network import PIECE, comparators
from consilia_workers.strategies.trimmed_mean import TrimmedMean

ANY = st.floats(width=32, allow_nan=False, allow_infinity=False)
ROBUST = [Median(), TrimmedMean(Fraction("0.4"))]


def combined(combiner, rows):
    names = tuple(f"hospital-{k}" for k in range(len(rows)))
    return combiner.combine(Cohort(hospitals=names, samples=(1,) * len(rows)), list(rows))


@pytest.mark.parametrize("count", range(1, 12))
def test_the_network_sorts_all_zeros_and_ones_and_so_everything(count):
    """Knuth's zero-one principle."""
    for bits in product((0, 1), repeat=count):
        values = list(bits)
        for i, j in comparators(count):
            values[i], values[j] = sorted((values[i], values[j]))
        assert values == sorted(bits)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7.0, -3.0, 5.0], 5.0),
        ([7.0, -3.0, 5.0, 6.0], 5.5),
        ([1e30, 1.0, 2.0, 3.0, -1e30], 2.0),
        ([4.0, 4.0, 4.0, 9.0], 4.0),
    ],
)
def test_the_median_is_the_value_in_the_middle(values, expected):
    assert combined(Median(), np.float32(values)[:, None]).tolist() == [expected]


@pytest.mark.parametrize(
    ("trim", "values", "expected"),
    [
        ("0.2", [1.0, 2.0, 3.0, 4.0, 1e9], 3.0),
        ("0.25", [-1e9, 10.0, 20.0, 1e9], 15.0),
        ("0.3", [5.0, 1.0, 2.0, 9.0, 4.0, 6.0], 4.25),  # floor(1.8) = 1 of each side: (2 + 4 + 5 + 6) / 4
        ("0.4", [9.0, 1.0, 5.0, 7.0, 3.0], 5.0),
        ("0.29", [0.0] * 71 + [1e9] * 29, 0.0),  # in binary, 0.29 · 100 is a little less than 29
    ],
)
def test_the_trimmed_mean_leaves_out_its_share_of_each_side(trim, values, expected):
    assert combined(TrimmedMean(Fraction(trim)), np.float32(values)[:, None]).tolist() == [expected]


@pytest.mark.parametrize(("trim", "fewest"), [("0.1", 10), ("0.2", 5), ("0.3", 4), ("0.4", 3), ("0.49", 3)])
def test_a_trimmed_mean_asks_for_enough_updates_to_trim_any(trim, fewest):
    assert TrimmedMean(Fraction(trim)).minimum_updates == fewest


@pytest.mark.parametrize("combiner", [Median(), TrimmedMean(Fraction("0.25"))])
@given(data=st.data())
def test_a_minority_cannot_move_a_parameter_beyond_the_honest_range(combiner, data):
    honest = data.draw(hnp.arrays(np.float32, (data.draw(st.integers(3, 9)), 3), elements=st.floats(-9, 9, width=32)))
    liars = len(honest) // 3  # a quarter of all: what TrimmedMean("0.25") may be given, less than the median's half
    lies = data.draw(hnp.arrays(np.float32, (liars, 3), elements=ANY))
    result = combined(combiner, data.draw(st.permutations([*honest, *lies])))
    assert (honest.min(axis=0) <= result).all()
    assert (result <= honest.max(axis=0)).all()


@pytest.mark.parametrize("combiner", ROBUST)
@given(data=st.data())
def test_no_bit_depends_on_which_hospital_sent_which_value(combiner, data):
    rows = list(data.draw(hnp.arrays(np.float32, (5, 4), elements=ANY)))
    shuffled = data.draw(st.permutations(rows))
    assert combined(combiner, rows).tobytes() == combined(combiner, shuffled).tobytes()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@given(hospitals=st.integers(1, 12), seed=st.integers(0, 2**32 - 1))
def test_the_median_is_numpys(dtype, hospitals, seed):
    rows = np.random.default_rng(seed).standard_normal((hospitals, 9)).astype(dtype)
    expected = np.median(rows.astype(np.float64), axis=0)
    np.testing.assert_array_equal(combined(Median(), rows), expected)


@pytest.mark.parametrize("combiner", ROBUST)
def test_a_block_longer_than_a_piece_is_sorted_to_its_end(combiner):
    rows = np.random.default_rng(5).standard_normal((5, 2 * PIECE + 11)).astype(np.float32)
    whole = combined(combiner, rows)
    np.testing.assert_array_equal(whole[-11:], combined(combiner, rows[:, -11:]))
    np.testing.assert_array_equal(whole[PIECE - 3 : PIECE + 3], combined(combiner, rows[:, PIECE - 3 : PIECE + 3]))
