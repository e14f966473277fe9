"""A task's graph, run on lanes of single records, gives what the task's own code gives for batches of one."""

import pytest
import torch
from private_tasks import HONEST, Cnn, Logistic, Mlp, Private, Weighted, isolated, one_by_one
from torch import nn

from consilia.errors import TaskError
from consilia_workers.privacy.batch_norm import without_batch_norm
from consilia_workers.privacy.graph import GraphDescription
from consilia_workers.privacy.rebuilding import rebuild
from consilia_workers.privacy.tracing import describe
from consilia_workers.training.torch_learner import layout_of

COUNT = 7
EVERY_TASK = pytest.mark.parametrize("kind", HONEST, ids=lambda kind: kind.__name__)


@EVERY_TASK
@pytest.mark.parametrize("lanes", [4, 16])
def test_losses_are_those_of_batches_of_one(kind, lanes):
    task = kind()
    found = isolated(task, lanes).losses(task.batch(COUNT))
    expected = torch.stack(one_by_one(task.loss, task.made.train(), task.batch(COUNT), COUNT))
    torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=1e-6)


@EVERY_TASK
def test_predictions_are_those_of_the_task(kind):
    task = kind()
    scores, targets = isolated(task, 4).eval().predictions(task.batch(COUNT))
    expected = one_by_one(task.predict, task.made.eval(), task.batch(COUNT), COUNT)
    torch.testing.assert_close(scores, torch.cat([score for score, _ in expected]).detach(), rtol=1e-5, atol=1e-6)
    assert torch.equal(targets, torch.cat([target for _, target in expected]))


@EVERY_TASK
def test_the_rebuilt_model_travels_as_the_tasks_own(kind):
    task = kind()
    model = rebuild(describe(task))
    assert layout_of(model.module) == layout_of(task.made)
    assert list(model.module.state_dict()) == list(task.made.state_dict())


@EVERY_TASK
def test_a_description_comes_back_from_json_as_it_was(kind):
    description = describe(kind())
    assert GraphDescription.from_json(description.to_json()) == description


def test_buffers_and_frozen_parameters_come_with_their_values():
    task = Weighted()
    task.made.out.bias.requires_grad_(False)
    model = rebuild(describe(task))
    assert model.module.weight_of_yes == 3
    assert torch.equal(model.module.out.bias, task.made.out.bias)
    assert [name for name, p in model.module.named_parameters() if p.requires_grad] == ["out.weight"]
    assert model.module.out.weight.count_nonzero() == 0


def test_dropout_drops_for_each_record_by_itself_and_only_in_training():
    class Dropping(Private):
        def build(self):
            return nn.Sequential(nn.Linear(5, 64), nn.Dropout(0.5), nn.Linear(64, 1))

    task = Dropping()
    model = isolated(task)
    same = [values[:1].expand(16, *values.shape[1:]) for values in task.batch(1)]
    assert len(model.train().losses(same).unique()) > 8
    assert len(model.eval().losses(same).unique()) == 1


def test_own_parameter_groups_are_reported():
    class Grouped(Logistic):
        def parameter_groups(self, model):
            return [{"params": model.parameters(), "lr": 0.1}]

    assert describe(Grouped()).custom_parameter_groups
    assert not describe(Logistic()).custom_parameter_groups


def test_batch_normalisation_is_replaced_where_that_is_asked_for():
    class Normalised(Cnn):
        def build(self):
            inner = nn.Sequential(nn.Conv2d(1, 48, 3), nn.BatchNorm2d(48), nn.ReLU())
            return nn.Sequential(inner, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 3))

    task = Normalised()
    with pytest.raises(TaskError, match=r"the layer 0.1 is a BatchNorm2d.*Replace it by nn.GroupNorm\(16, 48\)"):
        describe(task)
    before, task.made = task.made, without_batch_norm(task.made)
    assert isinstance(before[0][1], nn.BatchNorm2d)
    assert isolated(task).losses(task.batch(3)).isfinite().all()


def test_a_layer_without_learned_numbers_and_a_model_that_is_one_layer_are_models_too():
    class Plain(Mlp):
        def build(self):
            return nn.Sequential(nn.LayerNorm(5, elementwise_affine=False), nn.Linear(5, 1, bias=False))

    for task in (Plain(), Logistic()):
        found = isolated(task).losses(task.batch(3))
        torch.testing.assert_close(found, torch.stack(one_by_one(task.loss, task.made, task.batch(3), 3)).detach())
