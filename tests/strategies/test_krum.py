"""Krum and Multi-Krum: whoever has no close neighbours is left out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from consilia.errors import QuorumError
from consilia_workers.strategies.interface import Cohort
from consilia_workers.strategies.krum import PIECE, Krum, MultiKrum, krum_scores, squared_distances

HONEST = st.floats(-9, 9, width=32)
ANY = st.floats(width=32, allow_nan=False, allow_infinity=False)


def combined(combiner, rows, cuts=()):
    cohort = Cohort(hospitals=tuple(f"{k:02}" for k in range(len(rows))), samples=(1,) * len(rows))
    pieces = [np.split(row, cuts) for row in rows]
    combiner.examine(cohort, (list(block) for block in zip(*pieces, strict=True)))
    return combiner.combine(cohort, list(rows))


def test_the_scores_are_those_of_the_paper():
    """Updates on a line at 0, 1, 3, 4 and 10 with f = 1: a score sums the n - f - 2 = 2 smallest squared distances."""
    distances = squared_distances(5, [np.float32([[0], [1], [3], [4], [10]])])
    assert distances.tolist() == [
        [0, 1, 9, 16, 100],
        [1, 0, 4, 9, 81],
        [9, 4, 0, 1, 49],
        [16, 9, 1, 0, 36],
        [100, 81, 49, 36, 0],
    ]
    assert krum_scores(distances, 1).tolist() == [1 + 9, 1 + 4, 4 + 1, 1 + 9, 36 + 49]


@pytest.mark.parametrize(
    ("combiner", "expected"),
    [
        (Krum(1), 1.0),  # 1 and 3 tie at 5: the first by name
        (MultiKrum(1, 2), 2.0),  # 1 and 3
        (MultiKrum(0, 3), 4 / 3),  # three neighbours each: 26, 14, 14, 26, 166; 0 before 4
        (Krum(0), 1.0),
    ],
)
def test_the_best_scores_are_kept_and_ties_go_by_name(combiner, expected):
    assert combined(combiner, np.float32([[0], [1], [3], [4], [10]])).tolist() == [expected]


def test_ties_go_by_name_among_many_hospitals_too():
    """Each on an axis of its own, at 1 and 2 by turns: ten scores tie, where numpy would not keep the order unasked."""
    result = combined(MultiKrum(1, 5), np.diag(np.resize(np.float32([1, 2]), 20)))
    assert np.flatnonzero(result).tolist() == [0, 2, 4, 6, 8]


@pytest.mark.parametrize(
    ("combiner", "fewest"),
    [(Krum(0), 3), (Krum(1), 5), (Krum(3), 9), (MultiKrum(1, 1), 5), (MultiKrum(1, 2), 5), (MultiKrum(1, 5), 8)],
)
def test_too_few_updates_are_refused(combiner, fewest):
    assert combiner.minimum_updates == fewest
    combined(combiner, np.eye(fewest, dtype=np.float32))
    with pytest.raises(QuorumError, match=f"needs {fewest} updates"):
        combined(combiner, np.eye(fewest - 1, dtype=np.float32))


@given(st.data())
def test_byzantine_updates_of_any_size_move_the_result_no_further_than_honest_hospitals_differ(data):
    """A kept update's score is at most an honest one's, and it has an honest update among its neighbours."""
    byzantine = data.draw(st.integers(1, 3))
    honest = data.draw(hnp.arrays(np.float32, (byzantine + 3, 3), elements=HONEST))
    lies = data.draw(hnp.arrays(np.float32, (byzantine, 3), elements=ANY))
    rows = np.stack(data.draw(st.permutations([*honest, *lies])))
    reach = np.sqrt((len(rows) - byzantine - 2) * squared_distances(len(honest), [honest]).max()) * (1 + 1e-9)
    for combiner in (Krum(byzantine), MultiKrum(byzantine, len(rows) - byzantine - 2)):
        result = combined(combiner, rows)
        assert (honest.min(axis=0) - reach <= result).all()
        assert (result <= honest.max(axis=0) + reach).all()


@pytest.mark.parametrize("size", [1e3, 1e19, 3e38, 1e200, 1e308])
def test_far_away_updates_are_never_kept(size):
    honest = np.random.default_rng(1).standard_normal((5, 40))
    lies = np.array([[size] * 40, [-size] * 40])
    rows = [lies[0], *honest, lies[1]]
    assert any((combined(Krum(2), rows) == row).all() for row in honest)
    scores = krum_scores(squared_distances(5, [honest]), 0)
    best = honest[np.argsort(scores)[:3]].mean(axis=0)
    np.testing.assert_allclose(combined(MultiKrum(2, 3), rows), best, rtol=1e-12)


def test_distances_survive_parameters_much_larger_than_their_differences():
    """By |a|² + |b|² - 2ab in float32 these would all be 0, and even in float64 mostly rounding."""
    rows = np.float32(1e6) + np.float32([[0.0625], [0], [0.25], [1]])
    assert squared_distances(4, [rows])[0].tolist() == [0, 0.0625**2, 0.1875**2, 0.9375**2]


@given(st.lists(st.integers(0, 60), max_size=6), st.integers(0, 2**32 - 1))
def test_it_does_not_matter_where_the_updates_are_cut(cuts, seed):
    rows = np.random.default_rng(seed).standard_normal((7, 60)).astype(np.float32)
    for combiner in (Krum(2), MultiKrum(2, 3)):
        assert combined(combiner, rows, sorted(cuts)).tobytes() == combined(combiner, rows).tobytes()


def test_every_parameter_of_a_long_block_counts():
    rows = np.zeros((4, 2 * PIECE + 3), np.float32)
    rows[0, [0, PIECE - 1, PIECE, -1]] = 2
    assert squared_distances(4, [rows])[0].tolist() == [0, 16, 16, 16]


@given(st.permutations(range(6)))
def test_the_same_update_wins_whatever_the_hospitals_names(order):
    rows = np.random.default_rng(3).standard_normal((6, 8)).astype(np.float32)
    assert combined(Krum(1), rows[list(order)]).tobytes() == combined(Krum(1), rows).tobytes()
