"""What the aggregator relies on from every strategy: blocks may be cut anywhere, and only the set of updates counts."""

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilia_workers.strategies.interface import Cohort
from consilia_workers.strategies.krum import Krum, MultiKrum
from consilia_workers.strategies.median import Median
from consilia_workers.strategies.trimmed_mean import TrimmedMean
from consilia_workers.strategies.weighted_mean import WeightedMean

SEEDS = st.integers(0, 2**32 - 1)
COMBINERS = pytest.mark.parametrize(
    "combiner",
    [WeightedMean(), Median(), TrimmedMean(Fraction("0.2")), Krum(1), MultiKrum(1, 3)],
    ids=lambda c: type(c).__name__,
)


def updates(seed, count=6, size=301):
    """Parameters of very different magnitudes, and unequal counts of samples, by hospital."""
    random = np.random.default_rng(seed)
    scale = 10.0 ** random.integers(-30, 30, (count, size))
    values = (random.standard_normal((count, size)) * scale).astype(np.float32)
    return {f"hospital-{k}": (values[k], int(random.integers(1, 10_000))) for k in range(count)}


def whole(combiner, arrived):
    """As the aggregator does it: in the order of the names."""
    ordered = dict(sorted(arrived.items()))
    cohort = Cohort(hospitals=tuple(ordered), samples=tuple(samples for _, samples in ordered.values()))
    blocks = [block for block, _ in ordered.values()]
    combiner.examine(cohort, iter([blocks]))
    return combiner.combine(cohort, blocks), cohort, blocks


@COMBINERS
@given(seed=SEEDS, cuts=st.lists(st.integers(0, 301), max_size=5))
def test_cut_in_blocks_the_result_is_the_same_to_the_bit(combiner, seed, cuts):
    expected, cohort, blocks = whole(combiner, updates(seed))
    pieces = zip(*(np.split(block, sorted(cuts)) for block in blocks), strict=True)
    assert np.concatenate([combiner.combine(cohort, piece) for piece in pieces]).tobytes() == expected.tobytes()


@COMBINERS
@given(seed=SEEDS, order=st.permutations(range(6)))
def test_the_order_of_arrival_changes_no_bit(combiner, seed, order):
    arrived = updates(seed)
    names = sorted(arrived)
    late = {names[k]: arrived[names[k]] for k in order}
    assert whole(combiner, late)[0].tobytes() == whole(combiner, arrived)[0].tobytes()


@COMBINERS
def test_updates_are_read_never_written(combiner):
    arrived = {name: (np.frombuffer(block.tobytes(), "<f4"), n) for name, (block, n) in updates(1).items()}
    result = whole(combiner, arrived)[0]
    assert result.dtype == np.float64
    assert all((arrived[name][0] == block).all() for name, (block, _) in updates(1).items())


@COMBINERS
def test_an_empty_block_stays_empty(combiner):
    assert whole(combiner, updates(1, size=0))[0].shape == (0,)


def test_a_first_pass_is_asked_for_only_by_krum():
    def untouchable():
        raise AssertionError("a pass over the log that nobody needed")
        yield

    cohort = Cohort(hospitals=("a", "b", "c"), samples=(1, 1, 1))
    for combiner in (WeightedMean(), Median(), TrimmedMean(Fraction("0.4"))):
        combiner.examine(cohort, untouchable())


def test_strategies_without_a_server_optimizer_never_load_torch():
    """The aggregator of a FedAvg job must stay small: torch takes seconds and half a gigabyte."""
    script = "import sys, consilia_workers.strategies; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
