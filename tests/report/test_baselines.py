from collections.abc import Sequence

import numpy as np
import pytest
import torch
from made_up import Linear, training_job
from torch.nn.functional import mse_loss
from torch.utils.data import TensorDataset

from consilia.errors import DataError
from consilia.wire.layout import Layout, Tensor
from consilia_workers.learner import Learner
from consilia_workers.local.baselines import POOLED, alone, pooled
from consilia_workers.source import DataSource, Split
from consilia_workers.training.seeds import seed_for

A, BB = DataSource(hospital="a"), DataSource(hospital="bb")
ROUNDS, EPOCHS, RATE, SEED = 4, 2, 0.05, 3
TRAINING = {
    "localEpochs": EPOCHS,
    "batchSize": 8,
    "optimizer": {"name": "SGD", "learningRate": str(RATE)},
    "scheduler": {"name": "Step", "gamma": "0.5", "stepRounds": 2},
    "seed": SEED,
}


def silent(hospital: str, number: int) -> None:
    pass


def plain_loop(sources: Sequence[DataSource]) -> torch.nn.Module:
    """The loop that anybody would write over the sources' records together, with the same seeds."""
    tables = [Linear({}).data(source, Split.TRAIN).tensors for source in sources]
    features, targets = (torch.cat(column) for column in zip(*tables, strict=True))
    party = "+".join(source.hospital for source in sources)
    torch.manual_seed(seed_for(SEED, "initial"))
    model = torch.nn.Linear(4, 1)
    for number in range(1, ROUNDS + 1):
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE * 0.5 ** ((number - 1) // 2))
        order = torch.Generator().manual_seed(seed_for(SEED, party, number, "order"))
        for _ in range(EPOCHS):
            for indices in torch.randperm(len(features), generator=order).split(8):
                optimizer.zero_grad()
                mse_loss(model(features[indices]).squeeze(1), targets[indices]).backward()
                optimizer.step()
    return model


@torch.no_grad()
def loss_on_test_split(model: torch.nn.Module, source: DataSource) -> float:
    features, targets = Linear({}).data(source, Split.TEST).tensors
    return float(mse_loss(model(features).squeeze(1), targets))


def the_job(entrypoint="made_up:Linear"):
    return training_job(rounds=ROUNDS, names=("a", "bb"), task={"entrypoint": entrypoint}, training=TRAINING)


def test_alone_is_plain_local_training_to_the_bit():
    metrics = alone(the_job(), [A, BB], silent)
    assert metrics["a"]["loss"] == loss_on_test_split(plain_loop([A]), A)
    assert metrics["bb"]["loss"] == loss_on_test_split(plain_loop([BB]), BB)


def test_pooled_is_training_on_the_concatenated_records_to_the_bit():
    metrics = pooled(the_job(), [A, BB], silent)
    together = plain_loop([A, BB])
    assert {name: values["loss"] for name, values in metrics.items()} == {
        "a": loss_on_test_split(together, A),
        "bb": loss_on_test_split(together, BB),
    }


def test_pooled_of_one_hospital_is_that_hospital_alone():
    assert pooled(the_job("made_up:Normalised"), [A], silent) == alone(the_job("made_up:Normalised"), [A], silent)


def test_a_hospital_alone_does_not_depend_on_the_others():
    both, one = (
        alone(the_job("made_up:Normalised"), [A, BB], silent),
        alone(the_job("made_up:Normalised"), [BB], silent),
    )
    assert both["bb"] == one["bb"]


def test_progress_is_told_after_each_round():
    heard = []
    alone(the_job(), [A, BB], lambda hospital, number: heard.append((hospital, number)))
    pooled(the_job(), [A, BB], lambda hospital, number: heard.append((hospital, number)))
    assert heard == [(hospital, number) for hospital in ("a", "bb", POOLED) for number in range(1, ROUNDS + 1)]


class Wild(Linear):
    """One hospital's records are so large that its training cannot but diverge."""

    def data(self, source, split):
        features, targets = super().data(source, split).tensors
        return TensorDataset(features * (1e25 if source.hospital == "bb" else 1), targets)


def test_where_training_diverges_there_are_no_figures():
    job = the_job(f"{__name__}:Wild")
    metrics = alone(job, [A, BB], silent)
    assert metrics["a"]["loss"] == loss_on_test_split(plain_loop([A]), A)
    assert metrics["bb"] == {}
    assert pooled(job, [A, BB], silent) is None


class Counter(Learner):
    """A learner without any framework: the model is one number, the sum of all rounds' numbers."""

    layout = Layout.of([Tensor(name="sum", dtype=np.dtype("<f8"), shape=(1,))])

    def initial(self):
        yield self.layout.header
        yield bytes(8)

    def samples(self):
        return 1

    def train(self, round_number, model):
        self.layout.view(model)["sum"][0] += round_number
        yield model

    def evaluate(self, model):
        return {"loss": float(self.layout.view(model)["sum"][0]), "auc": float("nan")}


def test_a_learner_of_another_kind_is_measured_alone_and_not_pooled():
    job = the_job(f"{__name__}:Counter")
    assert alone(job, [A, BB], silent) == {"a": {"loss": 10.0}, "bb": {"loss": 10.0}}
    assert pooled(job, [A, BB], silent) is None


def test_missing_data_is_an_error_not_an_absent_figure():
    with pytest.raises(DataError, match="a has no records in its train split"):
        alone(the_job("made_up:Empty"), [A], silent)
