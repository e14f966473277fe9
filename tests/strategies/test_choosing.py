"""From the words of a job to a strategy."""

from fractions import Fraction
from typing import get_args

import numpy as np
import pytest

from consilia.api import AggregationSpec, ServerOptimizerSpec, StrategyName
from consilia_workers.strategies.choosing import SERVER_DEFAULTS, choose
from consilia_workers.strategies.krum import Krum, MultiKrum
from consilia_workers.strategies.median import Median
from consilia_workers.strategies.trimmed_mean import TrimmedMean
from consilia_workers.strategies.weighted_mean import WeightedMean

NEEDED = {
    "Krum": {"byzantine_hospitals": 2},
    "MultiKrum": {"byzantine_hospitals": 2, "selected_hospitals": 3},
    "TrimmedMean": {"trim_fraction": "0.2"},
}


def spec_of(name):
    return AggregationSpec(strategy=name, **NEEDED.get(name, {}))


@pytest.mark.parametrize(
    ("name", "combiner", "updates", "slots"),
    [
        ("FedAvg", WeightedMean, 1, ()),
        ("FedProx", WeightedMean, 1, ()),
        ("FedAvgM", WeightedMean, 1, ("momentum_buffer",)),
        ("FedAdagrad", WeightedMean, 1, ("v",)),
        ("FedAdam", WeightedMean, 1, ("m", "v")),
        ("FedYogi", WeightedMean, 1, ("m", "v")),
        ("Median", Median, 3, ()),
        ("TrimmedMean", TrimmedMean, 5, ()),
        ("Krum", Krum, 7, ()),
        ("MultiKrum", MultiKrum, 7, ()),
    ],
)
def test_each_name_gets_its_combiner_its_optimizer_and_its_least_number_of_updates(name, combiner, updates, slots):
    strategy = choose(spec_of(name))
    assert (strategy.name, type(strategy.combiner), strategy.minimum_updates) == (name, combiner, updates)
    assert (strategy.optimizer.slots if strategy.optimizer else ()) == slots


def test_every_strategy_that_a_job_may_name_can_be_chosen():
    assert [choose(spec_of(name)).name for name in get_args(StrategyName)] == list(get_args(StrategyName))


def test_a_robust_strategy_takes_its_numbers_from_the_job():
    assert choose(spec_of("TrimmedMean")).combiner.trim_fraction == Fraction(1, 5)
    assert choose(AggregationSpec(strategy="TrimmedMean", trim_fraction="2.5e-1")).combiner.trim_fraction == Fraction(
        1, 4
    )
    assert choose(spec_of("Krum")).combiner.byzantine == 2
    assert choose(spec_of("MultiKrum")).combiner.selected == 3


# From x = 1 with combined parameters at 0, so a pseudo-gradient of 1 in both rounds (x is set back to 1 between them).
FIRST_TWO = [
    # learning rate 1, momentum 0.9: v = 1, then 1.9
    ("FedAvgM", {}, [0.0, -0.9]),
    ("FedAvgM", {"learning_rate": "0.5", "momentum": "0.5"}, [0.5, 0.25]),
    # learning rate 0.1, τ = 0.001: v = 1.000001, then 2.000001
    ("FedAdagrad", {}, [1 - 0.1 / (1.000001**0.5 + 0.001), 1 - 0.1 / (2.000001**0.5 + 0.001)]),
    # β₁ = 0.9, β₂ = 0.99: m = 0.1, then 0.19; v = 0.01000099, then 0.0199009801
    ("FedAdam", {}, [1 - 0.01 / (0.01000099**0.5 + 0.001), 1 - 0.019 / (0.0199009801**0.5 + 0.001)]),
    # v = 0.010001, then 0.020001
    ("FedYogi", {}, [1 - 0.01 / (0.010001**0.5 + 0.001), 1 - 0.019 / (0.020001**0.5 + 0.001)]),
    # m = 0.5, then 0.75; v = (1 + 1)/2 = 1, then 1; learning rate 2, τ = 1
    ("FedAdam", {"learning_rate": "2", "beta1": "0.5", "beta2": "0.5", "tau": "1"}, [0.5, 0.25]),
]


@pytest.mark.parametrize(("name", "options", "expected"), FIRST_TWO)
def test_a_server_optimizer_takes_the_jobs_numbers_and_the_papers_for_the_rest(name, options, expected):
    given = ServerOptimizerSpec(**options) if options else None
    optimizer = choose(AggregationSpec(strategy=name, server_optimizer=given)).optimizer
    base, state, results = np.ones(1, np.float32), None, []
    for _ in expected:
        result, state = optimizer.step(base, np.zeros(1), state)
        results.append(result.item())
    assert results == pytest.approx(expected, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("name", SERVER_DEFAULTS)
def test_the_defaults_are_the_ones_that_the_api_documents(name):
    fields = ServerOptimizerSpec.model_fields
    assert all(f'"{default}"' in fields[option].description for option, default in SERVER_DEFAULTS[name].items())
