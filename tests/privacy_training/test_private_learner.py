"""What a private learner makes of a job's settings."""

from decimal import Decimal
from unittest import mock

import numpy as np
import pytest
import torch
from private_tasks import Logistic

from consilia.api import FederatedJob
from consilia.privacy.plan import make_plan
from consilia_workers.privacy.charged_metrics import ChargedMetrics
from consilia_workers.privacy.cohort import Cohort
from consilia_workers.privacy.private_learner import PrivateLearner
from consilia_workers.privacy.rebuilding import rebuild
from consilia_workers.privacy.tracing import describe
from consilia_workers.source import Split

COUNT = 400


class Records:
    """A split's records, as a reader gives them."""

    patients = None

    def __init__(self, task, count):
        self.count = count
        self._features, self._labels = task.batch(count)

    def example(self):
        return self._features[:1], self._labels[:1]

    def take(self, rows):
        chosen = torch.as_tensor(np.asarray(rows))
        return self._features[chosen], self._labels[chosen]


def learner(count=COUNT, rate="1", **training):
    job = {
        "apiVersion": "consilia.dev/v1alpha1",
        "kind": "FederatedJob",
        "metadata": {"name": "private"},
        "spec": {
            "task": {"entrypoint": "private_tasks:Logistic"},
            "dataset": "made-up",
            "hospitals": {"names": ["a", "b"], "minReady": 2, "minUpdates": 2},
            "rounds": {"count": 1},
            "training": {"localSteps": 20, "optimizer": {"name": "SGD", "learningRate": "0.1"}, **training},
            "privacy": {"noiseMultiplier": "0.05", "sampleRate": rate},
        },
    }
    task, spec = Logistic(), FederatedJob.model_validate(job)
    records = {split: Records(task, count) for split in Split}
    cohort = Cohort.of(count, None, by_patient=False, told=None)
    return PrivateLearner(spec, rebuild(describe(task)), records, make_plan(spec.spec, cohort.public), cohort, None)


def moved(one):
    """How far a round moves the model from zeros."""
    start = bytearray(one.layout.header) + bytearray(one.layout.size - len(one.layout.header))
    made = b"".join(bytes(piece) for piece in one.train(1, start))
    return float(np.sqrt(sum(np.sum(np.square(values)) for values in one.layout.view(made).values())))


def test_the_proximal_term_holds_the_model_back():
    """With weight 10 and rate 0.1 each step begins where the round did."""
    assert 0 < moved(learner(proximalMu="10")) < moved(learner()) / 5


@pytest.mark.parametrize(("rate", "capacity"), [("1", 499), ("0.1", 101)])
def test_how_many_places_there_are_depends_on_nothing_but_the_size_that_others_are_told(rate, capacity):
    """500 is the next size that is told after 400; who has so many has places for them at the rate."""
    few, many, more = (learner(count, rate) for count in (400, 499, 500))

    assert (few._capacity, few._lanes) == (many._capacity, many._lanes)
    assert few._capacity == pytest.approx(capacity, abs=15)
    assert few._capacity < more._capacity


def test_an_evaluation_that_leaves_puts_records_into_random_places_among_as_many_for_all_of_one_size():
    one = learner()
    for count in (400, 450, 499):
        drawn = [torch.cat([places for _, places in one._scattered(count)]) for _ in range(5)]
        assert all(len(places) == count for places in drawn)
        assert len({tuple(places.tolist()) for places in drawn}) == 5
    firsts = [firsts_place(one, count) for count in [400] * 300 + [499] * 300]
    assert 0.4 < np.mean(firsts[:300]) / (8 * 64 / 2) < 1.6
    assert abs(np.mean(firsts[:300]) - np.mean(firsts[300:])) < 5.5 * 8 * 64 / np.sqrt(12 * 150)


def firsts_place(one, count):
    """Where record 0 comes to stand, of eight passes of 64."""
    for number, (rows, places) in enumerate(one._scattered(count)):
        if 0 in rows:
            return number * 64 + int(places[rows == 0])
    raise AssertionError


def test_what_is_judged_in_random_places_is_what_is_judged_in_order():
    one = learner()
    start = bytearray(one.layout.header) + bytearray(np.float32(0.3).tobytes() * 6)
    ordered, scattered = one.judged(start), one.judged(start, anywhere=True)

    for here, there in zip(ordered, scattered, strict=True):
        assert len(here) == COUNT
        np.testing.assert_allclose(np.sort(here), np.sort(there), rtol=1e-5)


def test_charged_metrics_are_of_records_in_random_places(tmp_path):
    class Learner:
        def judged(self, model, *, anywhere=False):
            assert anywhere
            return np.array([0.1, 0.9]), np.array([0, 1]), np.array([0.1, 0.1])

    job = learner().job.model_copy(deep=True)
    privacy = job.spec.privacy.model_copy(update={"evaluation_noise": Decimal(1)})
    job = job.model_copy(update={"spec": job.spec.model_copy(update={"privacy": privacy})})
    kept, spending = mock.Mock(), mock.Mock()

    assert ChargedMetrics(job, Learner(), spending, kept).of(bytearray(), 1)
    spending.commit.assert_called_once()
