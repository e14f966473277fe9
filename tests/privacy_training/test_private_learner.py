"""What a private learner makes of a job's settings."""

import numpy as np
import torch
from private_tasks import Logistic

from consilia.api import FederatedJob
from consilia.privacy.plan import make_plan
from consilia_workers.privacy.cohort import Cohort
from consilia_workers.privacy.private_learner import PrivateLearner
from consilia_workers.privacy.rebuilding import rebuild
from consilia_workers.privacy.tracing import describe
from consilia_workers.source import Split

COUNT = 400


class Records:
    """A split's records, as a reader gives them."""

    count, patients = COUNT, None

    def __init__(self, task):
        self._features, self._labels = task.batch(COUNT)

    def example(self):
        return self._features[:1], self._labels[:1]

    def take(self, rows):
        chosen = torch.as_tensor(np.asarray(rows))
        return self._features[chosen], self._labels[chosen]


def learner(**training):
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
            "privacy": {"noiseMultiplier": "0.05", "sampleRate": "1"},
        },
    }
    task, spec = Logistic(), FederatedJob.model_validate(job)
    records = {split: Records(task) for split in Split}
    cohort = Cohort.of(COUNT, None, by_patient=False, told=None)
    return PrivateLearner(spec, rebuild(describe(task)), records, make_plan(spec.spec, COUNT), cohort, None)


def moved(one):
    """How far a round moves the model from zeros."""
    start = bytearray(one.layout.header) + bytearray(one.layout.size - len(one.layout.header))
    made = b"".join(bytes(piece) for piece in one.train(1, start))
    return float(np.sqrt(sum(np.sum(np.square(values)) for values in one.layout.view(made).values())))


def test_the_proximal_term_holds_the_model_back():
    """With weight 10 and rate 0.1 each step begins where the round did."""
    assert 0 < moved(learner(proximalMu="10")) < moved(learner()) / 5
