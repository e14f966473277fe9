"""The attack on a finished model: it finds the records of one that learned by heart, and nobody's in a fresh one."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from consilia_workers.audit.records import MOST, RecordAttack, begin_anew
from consilia_workers.privacy.rebuilding import rebuild
from consilia_workers.privacy.tracing import describe
from consilia_workers.task import Task

WIDTH = 40


class Guessing(Task):
    """Labels that follow from nothing: whoever knows them has seen them."""

    def model(self):
        return nn.Sequential(nn.Linear(WIDTH, 128), nn.ReLU(), nn.LayerNorm(128), nn.Linear(128, 1))

    def data(self, source, split):
        return InMemory(100, seed=0)

    def loss(self, model, batch):
        return functional.binary_cross_entropy_with_logits(model(batch[0]).squeeze(1), batch[1])

    def predict(self, model, batch):
        return torch.sigmoid(model(batch[0]).squeeze(1)), batch[1]


class InMemory:
    """A split's records, as a reader would give them."""

    def __init__(self, count, seed):
        draws = torch.Generator().manual_seed(seed)
        self.count = count
        self.tensors = [
            torch.randn(count, WIDTH, generator=draws),
            torch.randint(0, 2, (count,), generator=draws) * 1.0,
        ]

    def take(self, rows):
        return [tensor[torch.from_numpy(rows)] for tensor in self.tensors]


def attack(members=60, others=80, *, by_heart):
    torch.manual_seed(3)
    model, train = rebuild(describe(Guessing({})), lanes=32), InMemory(members, 1)
    begin_anew(model.module)
    if by_heart:
        learn_by_heart(model.module, train)
    return RecordAttack(
        model=model, train=train, test=InMemory(others, 2), style="hooks", physical_batch=32, seconds=0.2
    )


def learn_by_heart(module, records):
    task, parameters = Guessing({}), dict(module.named_parameters())
    copy = task.model()
    copy.load_state_dict({name: value.detach().clone() for name, value in parameters.items()})
    optimizer = torch.optim.Adam(copy.parameters(), lr=0.01)
    for _ in range(80):
        optimizer.zero_grad()
        task.loss(copy, records.take(np.arange(records.count))).backward()
        optimizer.step()
    with torch.no_grad():
        for name, value in copy.named_parameters():
            parameters[name].copy_(value)


def test_records_that_were_learned_by_heart_are_found():
    """The model is sure of everybody, and by luck right of half of the others: three quarters can be had."""
    found = attack(by_heart=True).result()
    assert found.auc > 0.68
    assert (found.members, found.others) == (60, 40)


def test_a_model_that_has_seen_nobody_gives_nobody_away():
    """The standard deviation of the AUC is 0.034 with so many records; five of them."""
    assert attack(400, 400, by_heart=False).result().auc == pytest.approx(0.5, abs=0.14)


@pytest.mark.parametrize(("others", "attacked"), [(1, False), (3, False), (4, True)])
def test_with_hardly_any_test_records_nothing_is_attacked(others, attacked):
    assert (attack(others=others, by_heart=False).result() is not None) == attacked


def test_of_many_records_a_sample_is_attacked():
    found = attack(MOST + 50, 2 * MOST + 90, by_heart=False).result()
    assert (found.members, found.others) == (MOST, MOST)


def test_records_that_the_loss_is_no_number_for_are_left_out():
    made = attack(by_heart=True)
    made.train.tensors[0][:10] = torch.nan
    assert made.result().members == 50


def test_a_model_is_begun_anew_without_touching_what_is_not_trained():
    module = Guessing({}).model()
    module[0].weight.requires_grad_(False)
    frozen = module[0].weight.clone()
    module[3].weight.data.fill_(7)
    begin_anew(module)
    assert torch.equal(module[0].weight, frozen)
    assert module[3].weight.abs().max() < 1
    assert (module[2].weight == 1).all()
    assert (module[2].bias == 0).all()
