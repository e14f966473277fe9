"""Metrics from noisy counts: near the exact ones, and one record changes one count by one."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from consilia_workers.privacy.noise import SystemRandomness
from consilia_workers.privacy.noisy_metrics import BINS, metrics_of, noisy_counts

NAMES = ("auc", "accuracy", "brier", "loss", "average_precision")
RANDOM = SystemRandomness()


@pytest.fixture(scope="module")
def judged():
    generator = np.random.default_rng(1)
    targets = (generator.random(20_000) < 0.2).astype(int)
    scores = 1 / (1 + np.exp(-(generator.normal(size=20_000) + 1.5 * targets - 1.5)))
    return scores, targets


def exact(scores, targets):
    return {
        "auc": roc_auc_score(targets, scores),
        "accuracy": float(np.mean((scores >= 0.5) == targets)),
        "brier": brier_score_loss(targets, scores),
        "loss": log_loss(targets, scores),
        "average_precision": average_precision_score(targets, scores),
    }


def test_without_noise_they_are_the_exact_ones_but_for_the_bins(judged):
    found = metrics_of(noisy_counts(*judged, 0, RANDOM), NAMES)

    assert found == pytest.approx(exact(*judged), abs=0.02)


def test_with_noise_they_stay_near_where_there_are_many_records(judged):
    found = metrics_of(noisy_counts(*judged, 20, RANDOM), NAMES)

    assert found["auc"] == pytest.approx(exact(*judged)["auc"], abs=0.05)


def test_one_record_changes_one_count_by_one(judged):
    scores, targets = judged
    before = noisy_counts(scores, targets, 0, RANDOM)
    for left_out in (0, 7, 19_999):
        after = noisy_counts(np.delete(scores, left_out), np.delete(targets, left_out), 0, RANDOM)
        assert sorted((before - after).ravel().tolist())[-2:] == [0, 1]
        assert np.abs(before - after).sum() == 1


def test_the_noise_has_the_size_that_is_paid_for(judged):
    empty = noisy_counts(np.array([]), np.array([], dtype=int), 20, RANDOM)
    many = np.concatenate([noisy_counts(np.array([]), np.array([], dtype=int), 20, RANDOM) for _ in range(400)])

    assert empty.shape == (2, BINS)
    assert (many >= 0).all()
    assert np.sqrt(2 * np.mean(many**2)) == pytest.approx(20, rel=0.05)  # the half of a Gaussian that is left


@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf, 5.0, -5.0])
def test_a_score_that_is_none_still_counts_for_one_record(strange):
    counts = noisy_counts(np.array([strange, 0.2]), np.array([1, 0]), 0, RANDOM)

    assert counts.sum() == 2


def test_no_metric_is_made_up_where_an_answer_has_no_records_left():
    assert metrics_of(np.zeros((2, BINS)), NAMES) == {}
