"""Membership inference: RMIA's formula, the loss threshold, and how well scores tell members from others."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from consilia.errors import DataError
from consilia_workers.audit.membership import (
    LabelLikelihoods,
    attack_result,
    log_likelihood_ratios,
    true_positive_rate,
)

MEMBERS, RECORDS = 400, 1200


def likelihoods(chances, records, references=4):
    return LabelLikelihoods.from_probabilities(chances.random(records), chances.random((references, records)))


def loss_scores(records):
    """The loss threshold of Yeom et al. (CSF 2018), RMIA's baseline: it takes every easy record for a member."""
    return records.model


def rmia_scores(records, population, *, offline_a=0.3, gamma=2.0):
    """RMIA's score as published: the share of the population over which a record wins by the factor `gamma`."""
    ratios = log_likelihood_ratios(records, offline_a=offline_a)
    others = np.sort(log_likelihood_ratios(population, offline_a=offline_a))
    return np.searchsorted(others, ratios - np.log(gamma), side="right") / len(others)


@pytest.mark.parametrize("offline_a", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_the_scores_are_those_of_the_paper_pair_by_pair(offline_a, gamma):
    chances = np.random.default_rng(3)
    x, z = chances.random((5, 60)), chances.random((5, 40))

    def ratio(models):
        return models[0] / (((1 + offline_a) * models[1:].mean(axis=0) + 1 - offline_a) / 2)

    expected = [np.mean([one / other >= gamma for other in ratio(z)]) for one in ratio(x)]
    records, population = (LabelLikelihoods.from_probabilities(m[0], m[1:]) for m in (x, z))
    assert rmia_scores(records, population, offline_a=offline_a, gamma=gamma).tolist() == expected
    assert np.exp(log_likelihood_ratios(records, offline_a=offline_a)) == pytest.approx(ratio(x))


def test_a_pair_whose_ratio_is_exactly_gamma_counts():
    one = LabelLikelihoods.from_probabilities([0.7], [[0.4], [0.5]])
    assert rmia_scores(one, one, gamma=1.0).tolist() == [1]


def test_the_score_orders_records_as_their_likelihood_ratios_do():
    chances = np.random.default_rng(4)
    records, population = likelihoods(chances, 200), likelihoods(chances, 300)
    by_ratio = np.argsort(log_likelihood_ratios(records))
    assert np.all(np.diff(rmia_scores(records, population)[by_ratio]) >= 0)


@pytest.mark.parametrize("offline_a", [0.0, 0.3, 1.0])
def test_probabilities_of_0_and_1_have_scores(offline_a):
    """The records: sure and surprising, sure and easy, impossible to all, impossible to the audited model alone."""
    records = LabelLikelihoods.from_probabilities([1, 1, 0, 0], [[0, 1, 0, 1], [0, 1, 0, 1]])
    ratios = log_likelihood_ratios(records, offline_a=offline_a)
    assert np.isfinite(ratios).all()
    assert ratios[3] < ratios[1] <= ratios[0]
    assert ratios[3] <= ratios[2] <= ratios[1]
    scores = rmia_scores(records, records, offline_a=offline_a)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_logarithms_keep_apart_what_rounds_to_a_probability_of_1():
    close = LabelLikelihoods.from_logarithms([-1e-20, -1e-30], [[-1.0, -1.0]])
    assert np.exp(close.model).tolist() == [1, 1]
    assert loss_scores(close)[0] < loss_scores(close)[1]


def logistic_model(features, labels):
    """Fitted without regularisation to as many features as records: nearly all labels of its own are right."""
    weights = np.zeros(features.shape[1])
    for _ in range(400):
        wrong = labels - 1 / (1 + np.exp(-features @ weights))
        weights += 2.0 * features.T @ wrong / len(labels)
    return lambda x, y: -np.logaddexp(0, -(2 * y - 1) * (x @ weights))


def patients(chances, count):
    """A few clear signs that make some labels easy and some hard, and many small ones that mean nothing."""
    signs = chances.normal(size=(count, 3)) * 2
    labels = (signs.sum(axis=1) + chances.logistic(size=count) > 0).astype(float)
    return np.hstack([signs, chances.normal(size=(count, MEMBERS)) * 0.35]), labels


@pytest.fixture(scope="module")
def overfitted():
    """The likelihoods of members and others, those of a population, and who is a member; four reference models."""
    chances = np.random.default_rng(0)
    features, labels = patients(chances, RECORDS)
    models = [logistic_model(features[:MEMBERS], labels[:MEMBERS])]
    models += [logistic_model(*patients(chances, MEMBERS)) for _ in range(4)]

    def seen(x, y):
        scored = [model(x, y) for model in models]
        return LabelLikelihoods.from_logarithms(scored[0], scored[1:])

    return seen(features, labels), seen(*patients(chances, 1000)), np.arange(RECORDS) < MEMBERS


def test_rmia_finds_members_of_an_overfitted_model_that_the_loss_threshold_misses(overfitted):
    records, population, member = overfitted
    by_rmia = attack_result(rmia_scores(records, population), member)
    by_loss = attack_result(loss_scores(records), member)
    assert by_rmia.tpr_at_1_percent.low > by_loss.tpr_at_1_percent.high
    assert by_rmia.tpr_at_0_1_percent.low > by_loss.tpr_at_0_1_percent.high
    assert by_rmia.auc > by_loss.auc > 0.5
    assert (by_rmia.members, by_rmia.others) == (MEMBERS, RECORDS - MEMBERS)


@pytest.mark.parametrize("fewer", [1, 10, 100])
def test_the_ratios_themselves_find_no_fewer_members_than_the_scores_with_ties(overfitted, fewer):
    records, population, member = overfitted
    some = LabelLikelihoods(model=population.model[::fewer], references=population.references[:, ::fewer])
    by_score = attack_result(rmia_scores(records, some), member)
    by_ratio = attack_result(log_likelihood_ratios(records), member)
    assert by_ratio.tpr_at_1_percent.successes >= by_score.tpr_at_1_percent.successes
    assert by_ratio.tpr_at_0_1_percent.successes >= by_score.tpr_at_0_1_percent.successes


def test_where_members_and_others_look_alike_the_auc_is_a_half_and_the_rates_are_those_of_chance():
    chances = np.random.default_rng(8)
    result = attack_result(chances.normal(size=20_000), np.arange(20_000) % 2 == 0)
    assert result.auc == pytest.approx(0.5, abs=0.015)
    assert result.tpr_at_1_percent.low < 0.01 < result.tpr_at_1_percent.high
    assert result.tpr_at_0_1_percent.low < 0.001 < result.tpr_at_0_1_percent.high


def test_the_interval_holds_the_true_rate_of_an_attack_as_often_as_promised():
    """Members are shifted by two standard deviations; so many others that the threshold is nearly the true one."""
    chances, holding = np.random.default_rng(6), 0
    others = np.sort(chances.normal(size=50_000))
    rate = stats.norm.sf(stats.norm.isf(0.01) - 2)
    for _ in range(300):
        found = true_positive_rate(chances.normal(size=100) + 2, others, 0.01)
        holding += found.low <= rate <= found.high
    assert holding >= 273  # 0.95 of 300, less three standard deviations


@pytest.mark.parametrize(
    ("rate", "found"),
    [(0.0, 1), (0.009, 1), (0.01, 2), (0.02, 3), (1.0, 4)],
)
def test_the_threshold_lets_no_more_of_the_others_pass_than_allowed(rate, found):
    """Others at 0 to 99, members between the highest of them and far below: each passed one costs a hundredth."""
    result = true_positive_rate(np.array([99.5, 98.5, 97.5, -5.0]), np.arange(100.0), rate)
    assert (result.successes, result.trials) == (found, 4)


@given(st.integers(1, 99))
def test_a_share_that_floating_point_makes_smaller_lets_as_many_pass(percent):
    """0.29 * 100 is 28.999999999999996."""
    others = np.arange(100.0)
    just_enough = np.array([others[-percent - 1] + 0.5])
    assert true_positive_rate(just_enough, others, percent / 100).successes == 1
    assert true_positive_rate(just_enough, others, percent / 100 - 0.005).successes == 0


def test_equal_scores_are_no_success():
    result = attack_result(np.ones(40), np.arange(40) < 20)
    assert result.auc == 0.5
    assert (result.tpr_at_1_percent.successes, result.tpr_at_0_1_percent.successes) == (0, 0)


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2))
def test_the_auc_is_the_share_of_pairs_in_which_the_member_scores_higher(records):
    members = [score for score, member in records if member]
    others = [score for score, member in records if not member]
    if not (members and others):
        with pytest.raises(DataError, match=f"there are {len(members)} and {len(others)}"):
            attack_result(*zip(*records, strict=True))
        return
    pairs = [(m > o) + (m == o) / 2 for m in members for o in others]
    assert attack_result(*zip(*records, strict=True)).auc == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize(
    ("model", "references", "message"),
    [
        ([0.5, 1.5], [[0.5, 0.5]], "outside 0 to 1"),
        ([0.5, -0.5], [[0.5, 0.5]], "outside 0 to 1"),
        ([0.5, 0.5], [[0.5, np.nan]], "NaN"),
        ([0.5, 0.5], [0.5, 0.5], "shape"),
        ([0.5, 0.5], [[0.5], [0.5]], "shape"),
        ([0.5, 0.5], np.empty((0, 2)), "shape"),
        (0.5, [[0.5]], "shape"),
    ],
)
def test_what_are_no_probabilities_of_labels_is_refused(model, references, message):
    with pytest.raises(DataError, match=message):
        LabelLikelihoods.from_probabilities(model, references)


@pytest.mark.parametrize(("scores", "member"), [([1.0, np.nan], [True, False]), ([1.0], [True, False])])
def test_scores_that_cannot_be_judged_are_refused(scores, member):
    with pytest.raises(DataError, match="NaN"):
        attack_result(scores, member)


@pytest.mark.parametrize("offline_a", [1.1, -0.1])
def test_settings_that_mean_nothing_are_refused(offline_a):
    with pytest.raises(ValueError, match="offline"):
        log_likelihood_ratios(likelihoods(np.random.default_rng(0), 3), offline_a=offline_a)
