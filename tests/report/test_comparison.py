import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilia_workers.report.comparison import Spread, compare


def flat(**values):
    """One metric at each hospital."""
    return {hospital: {"auc": value} for hospital, value in values.items()}


@pytest.fixture
def two_seeds(make):
    """Two hospitals, two seeds, figures short enough to check by hand."""
    first = make.seed(1, federated=flat(a=0.8, b=0.6), alone=flat(a=0.7, b=0.65), pooled=flat(a=0.9, b=0.7))
    second = make.seed(2, federated=flat(a=0.9, b=0.7), alone=flat(a=0.7, b=0.65), pooled=flat(a=0.9, b=0.8))
    return make.report([first, second], ["a", "b"], metrics=["auc"])


def figures(spread):
    return spread.mean, spread.deviation


def test_each_hospital_has_mean_and_standard_deviation_over_the_seeds(two_seeds):
    a, b = compare(two_seeds, "auc").rows
    assert figures(a.federated) == pytest.approx((0.85, 0.0707106781))
    assert figures(a.alone) == pytest.approx((0.7, 0.0))
    assert figures(b.pooled) == pytest.approx((0.75, 0.0707106781))
    assert a.federated.seeds == 2


def test_the_mean_is_over_hospitals_first_and_then_over_seeds(two_seeds):
    mean = compare(two_seeds, "auc").mean
    assert figures(mean.federated) == pytest.approx((0.75, 0.0707106781))  # (0.8 + 0.6) / 2 and (0.9 + 0.7) / 2
    assert figures(mean.alone) == pytest.approx((0.675, 0.0))


def test_gain_and_gap_are_differences_seed_by_seed(two_seeds):
    a, _ = compare(two_seeds, "auc").rows
    assert figures(a.gain) == pytest.approx((0.15, 0.0707106781))
    assert figures(a.gap) == pytest.approx((0.05, 0.0707106781))


def test_a_lower_loss_is_a_gain(make):
    loss = {"federated": 0.2, "alone": 0.5, "pooled": 0.1}
    seed = make.seed(1, **{way: {"a": {"loss": value}} for way, value in loss.items()})
    comparison = compare(make.report([seed], ["a"]), "loss")
    assert comparison.lower_is_better
    assert comparison.mean.gain.mean == pytest.approx(0.3)
    assert comparison.mean.gap.mean == pytest.approx(0.1)


def test_one_seed_has_no_deviation(make):
    assert compare(make.report([make.seed(1)]), "auc").mean.federated.deviation is None


def test_a_hospital_without_the_metric_is_no_part_of_the_mean_and_the_reason_is_given(make):
    seed = make.seed(1, federated=flat(a=0.8) | {"b": {}}, alone=flat(a=0.7) | {"b": {}}, pooled=None)
    comparison = compare(make.report([seed], ["a", "b"]), "auc")
    assert comparison.averaged == ("a",)
    assert comparison.mean.federated.mean == 0.8
    assert comparison.rows[1].federated is None
    assert comparison.missing == {"b": "has test patients on whom it is not defined"}


@pytest.mark.parametrize(
    ("federated", "alone", "reason"),
    [
        (flat(a=0.8), flat(a=0.7), "did not report the final model's metrics"),
        (flat(a=0.8, b=0.9), flat(a=0.7) | {"b": {}}, "has no value alone from 1 of 1 seeds"),
    ],
)
def test_the_reason_tells_an_absent_hospital_from_a_diverged_one(make, federated, alone, reason):
    seed = make.seed(1, federated=federated, alone=alone, pooled=None)
    assert compare(make.report([seed], ["a", "b"]), "auc").missing == {"b": reason}


def test_a_way_that_was_not_measured_is_not_compared(make):
    comparison = compare(make.report([make.seed(1, alone=None, pooled=None)]), "auc")
    assert comparison.ways == ("federated",)
    assert comparison.mean.gain is None
    assert not comparison.missing


def test_a_failed_seed_does_not_count(make):
    report = make.report([make.seed(1), make.failed_seed(2, rounds=3)])
    assert compare(report, "auc") == compare(make.report([make.seed(1)]), "auc")


def test_without_any_finished_seed_every_figure_is_absent(make):
    comparison = compare(make.report([make.failed_seed(1, rounds=0)]), "auc")
    assert comparison.mean.federated is None
    assert all(row.federated is None for row in comparison.rows)


def test_a_hospital_called_mean_is_an_ordinary_hospital(make):
    seed = make.seed(1, federated=flat(mean=0.6, b=0.8), alone=None, pooled=None)
    comparison = compare(make.report([seed], ["mean", "b"]), "auc")
    assert comparison.rows[0].federated.mean == 0.6
    assert comparison.mean.federated.mean == pytest.approx(0.7)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9), st.randoms())
def test_the_spread_does_not_depend_on_the_order_of_the_seeds(values, random):
    shuffled = random.sample(values, len(values))
    assert Spread.of(shuffled).mean == pytest.approx(Spread.of(values).mean)
    assert min(values) - 1e-6 <= Spread.of(values).mean <= max(values) + 1e-6
