import pytest

from consilia_workers.report.participation import participation, refusals
from consilia_workers.report.results import RefusedResult
from consilia_workers.report.timing import timing


def costs(make, *rounds):
    results = [
        make.round(number, {}, seconds=seconds, train_seconds=train, aggregate_seconds=aggregate, received_bytes=size)
        for number, (seconds, train, aggregate, size) in enumerate(rounds, start=1)
    ]
    return timing(make.report([make.seed(1, rounds=results)]))


def test_a_round_is_the_slowest_training_the_aggregation_and_the_rest(make):
    (cost,) = costs(make, (10.0, {"a": 3.0, "b": 6.0}, 1.0, 500)).rounds
    assert (cost.train, cost.aggregate, cost.rest) == (6.0, 1.0, 3.0)


def test_parts_never_exceed_the_round_they_are_parts_of(make):
    (cost,) = costs(make, (2.0, {"a": 1.5}, 5.0, 0)).rounds
    assert (cost.train, cost.aggregate, cost.rest) == (1.5, 0.5, 0.0)


def test_median_and_ninetieth_percentile_are_over_all_rounds(make):
    found = costs(make, *((float(second), {}, 0.0, 100 * second) for second in range(1, 12)))
    assert (found.median_seconds, found.p90_seconds, found.median_bytes) == (6.0, 10.0, 600)
    assert found.shares == (0.0, 0.0, 1.0)


def test_the_shares_of_all_time_add_up_to_one(make):
    found = costs(make, (1.0, {"a": 0.5}, 0.25, 1), (3.0, {"a": 1.5}, 0.75, 1))
    assert found.shares == pytest.approx((0.5, 0.25, 0.25))


def test_a_round_of_several_seeds_is_their_median(make):
    seeds = [make.seed(n, rounds=[make.round(1, {}, seconds=seconds)]) for n, seconds in enumerate((1.0, 2.0, 9.0))]
    (cost,) = timing(make.report(seeds)).rounds
    assert cost.seconds == 2.0


def test_without_rounds_there_is_no_timing(make):
    assert timing(make.report([make.failed_seed(1, rounds=0)])) is None


def test_participation_counts_rounds_drops_and_refusals(make):
    refused = RefusedResult(hospital="b", reason="NotFinite", message="NaN in weight")
    rounds = [
        make.round(1, {}, samples={"a": 10, "b": 20}, train_seconds={"a": 1.0, "b": 2.0}),
        make.round(2, {}, samples={"a": 10}, train_seconds={"a": 3.0}, dropped=["b"], refused=[refused]),
    ]
    report = make.report([make.seed(4, rounds=rounds)], ["a", "b", "c"])
    a, b, c = participation(report)
    assert (a.samples, a.counted, a.dropped, a.refused, a.train_seconds) == (10, 2, 0, 0, 2.0)
    assert (b.samples, b.counted, b.dropped, b.refused) == (20, 1, 1, 1)
    assert (c.samples, c.counted, c.train_seconds) == (None, 0, None)
    assert refusals(report) == [(4, 2, refused)]
