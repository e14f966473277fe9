"""A private step: each record's gradient clipped, noise of the right size once, nothing that one record could add."""

import numpy as np
import pytest
import torch
from private_tasks import (
    HONEST,
    Cnn,
    Logistic,
    Lstm,
    Mlp,
    Private,
    Text,
    Tied,
    clipped_one_by_one,
    isolated,
    one_by_one,
    records,
)
from scipy.stats import binom, kstest
from torch import nn

from consilia.errors import TaskError
from consilia_workers.privacy.dpsgd import PrivateSteps, capacity_for, choose_style, random_places
from consilia_workers.privacy.noise import SystemRandomness

COUNT = 11
STYLES = pytest.mark.parametrize("style", ["hooks", "ghost"])
EVERY_TASK = pytest.mark.parametrize("kind", HONEST, ids=lambda kind: kind.__name__)


class Keeping(torch.optim.SGD):
    """Keeps what it is given, and moves nothing."""

    def step(self, closure=None):
        self.kept = [p.grad.clone() for p in self.param_groups[0]["params"]]


def gradient_of(model, batch, *, unit_of=None, noise=0.0, norm=0.1, expected=1.0, **options):
    """What a step gives to its optimizer, one tensor a parameter."""
    optimizer = Keeping(model.module.parameters(), lr=1.0)
    steps = PrivateSteps(
        model,
        optimizer,
        noise_multiplier=noise,
        max_grad_norm=norm,
        expected_batch_size=expected,
        randomness=SystemRandomness(),
        **{"physical_batch": 4, **options},
    )
    steps.take(batch, unit_of)
    return optimizer.kept


def length(gradient):
    return float(torch.sqrt(sum(g.double().square().sum() for g in gradient)))


def assert_close(found, expected, scale=1.0):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), other.double() * scale, rtol=1e-3, atol=1e-6)


@STYLES
@EVERY_TASK
@pytest.mark.parametrize("norm", [0.05, 1e6], ids=["clipped", "whole"])
def test_the_sum_is_that_of_single_gradients_clipped(kind, style, norm):
    task = kind()
    found = gradient_of(isolated(task), task.batch(COUNT), norm=norm, style=style)
    assert_close(found, clipped_one_by_one(task, task.batch(COUNT), COUNT, norm))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [Mlp, Cnn])
def test_the_sum_is_that_of_opacus(kind):
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

    task = kind()
    found = gradient_of(isolated(task), task.batch(COUNT), norm=0.3)
    for layer in task.made.modules():
        layer.inplace = False  # which Opacus' hooks cannot bear
    sampled = GradSampleModule(task.made.train())
    optimizer = DPOptimizer(
        Keeping(task.made.parameters(), lr=1.0), noise_multiplier=0, max_grad_norm=0.3, expected_batch_size=COUNT
    )
    task.loss(sampled, task.batch(COUNT)).backward()
    optimizer.step()
    assert_close(found, optimizer.original_optimizer.kept, scale=COUNT)


class Wild(Private):
    """Gradients of all sizes, some of which cancel in exact arithmetic only."""

    def build(self):
        return nn.Sequential(nn.Linear(5, 9), nn.Tanh(), nn.Linear(9, 1))

    def loss(self, model, batch):
        features, labels = batch
        large = torch.stack([features * 1e7, -features * 1e7 + labels[:, None]], dim=1)
        inner = model[0](large).sum(1) * torch.exp(20 * labels[:, None])
        return model[2](torch.sin(inner)).mean() * torch.exp(10 * features).sum()


class Cancelling(Private):
    """Two ways back that cancel for a weight of one and, by rounding, hardly for any other.

    Ghost clipping as published weighs the losses and goes back a second time: with Opacus 1.6, such a record moves the
    sum by 1e10 times the norm.
    """

    def build(self):
        return nn.Linear(5, 2)

    def loss(self, model, batch):
        out, once = model(batch[0]), 2.0**40
        return ((out[:, 0] * 2049 * once) * 1025 - out[:, 0] * (1025 * 2049 * once) + 10 * out[:, 1]).mean()

    def predict(self, model, batch):
        return model(batch[0]), batch[1]


@STYLES
@pytest.mark.parametrize("kind", [*HONEST, Wild, Cancelling], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("seed", range(3))
def test_no_record_moves_the_sum_by_more_than_the_norm(kind, style, seed):
    task = kind()
    model, batch = isolated(task), task.batch(COUNT, seed)
    alone = [length(gradient_of(model, records(batch, slice(k, k + 1)), style=style)) for k in range(COUNT)]
    assert max(alone) <= 0.1 * (1 + 1e-5)
    with_all = gradient_of(model, batch, style=style, norm=0.1)
    without = gradient_of(
        model, records(batch, torch.tensor([k for k in range(COUNT) if k != 4])), style=style, norm=0.1
    )
    if kind not in (
        Wild,
        Cancelling,
    ):  # their losses turn on the last bit of everything, and so on places: see `capacity`
        assert length([a - b for a, b in zip(with_all, without, strict=True)]) <= 0.1 * (1 + 1e-5)


@pytest.mark.parametrize("count", [1, 2, 8])
def test_every_place_is_as_likely_for_a_record_however_many_others_there_are(count):
    """So no bit of a record's gradient, which may depend on its place, depends on whether another one is there."""
    randomness = SystemRandomness()
    drawn = torch.stack([random_places(count, 8, randomness) for _ in range(4000)])
    found = torch.bincount(drawn[:, 0], minlength=8)
    assert ((found - 500).abs() < 5.5 * 21).all()  # of a binomial's deviation, 21
    assert all(len(places.unique()) == count for places in drawn[:100])


@pytest.mark.parametrize("capacity", [0, 12, 40])
def test_the_capacity_changes_nothing_but_roundings(capacity):
    task = Mlp()
    found = gradient_of(isolated(task), task.batch(COUNT), capacity=capacity)
    assert_close(found, clipped_one_by_one(task, task.batch(COUNT), COUNT, 0.1))


def test_the_capacity_of_a_dataset_is_hardly_ever_exceeded():
    assert 310 < capacity_for(1000, 0.25) < 360
    assert binom.sf(capacity_for(1000, 0.25), 1000, 0.25) <= 1e-12
    assert capacity_for(1000, 1.0) == 1000
    assert capacity_for(1000, 0.0) == 0


@STYLES
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e38])
def test_a_record_without_a_gradient_counts_as_none(style, bad):
    task = Mlp()
    batch = task.batch(COUNT)
    batch[0][3] = bad
    found = gradient_of(isolated(task), batch, style=style)
    good = records(task.batch(COUNT), torch.tensor([k for k in range(COUNT) if k != 3]))
    assert_close(found, clipped_one_by_one(task, good, COUNT - 1, 0.1))


def test_a_record_that_an_operation_fails_on_counts_as_none():
    class Picky(Text):
        def loss(self, model, batch):
            return nn.functional.cross_entropy(model(batch[0]).expand(-1, 3), batch[1].long())

    task = Picky()
    batch = task.batch(COUNT)
    batch[1][3] = 9
    found = gradient_of(isolated(task), batch)
    good = records(batch, torch.tensor([k for k in range(COUNT) if k != 3]))
    assert_close(found, clipped_one_by_one(task, good, COUNT - 1, 0.1))


class Wide(Private):
    def build(self):
        return nn.Linear(5, 4000)

    def loss(self, model, batch):
        return model(batch[0]).square().mean()


@pytest.mark.parametrize("count", [0, 1, 5])
def test_noise_of_the_right_size_is_added_once_whatever_the_number_of_records(count):
    task = Wide()
    found = gradient_of(isolated(task), task.batch(count), noise=3.0, norm=1e-6, expected=20.0)
    values = torch.cat([g.flatten() for g in found]).double().numpy() * 20 / 3e-6
    # A record is a third of a deviation in length, over 24,000 numbers.
    assert kstest(values, "norm").statistic < 2.75 / np.sqrt(len(values))


def test_a_step_divides_by_the_expected_number_of_records():
    task = Mlp()
    once, less = (gradient_of(isolated(task), task.batch(COUNT), expected=e) for e in (1.0, 8.0))
    assert_close([g * 8 for g in less], once)


def test_the_optimizer_takes_the_step_and_forgets_the_gradient():
    task = Logistic()
    model = isolated(task)
    optimizer = torch.optim.SGD(model.module.parameters(), lr=1.0)
    steps = PrivateSteps(
        model,
        optimizer,
        noise_multiplier=0,
        max_grad_norm=1e6,
        expected_batch_size=1,
        randomness=SystemRandomness(),
    )
    before = [p.detach().clone() for p in model.module.parameters()]
    expected = clipped_one_by_one(task, task.batch(3), 3, 1e6)
    steps.take(task.batch(3))
    assert_close([b - p.detach() for b, p in zip(before, model.module.parameters(), strict=True)], expected)
    assert all(p.grad is None for p in model.module.parameters())


@pytest.mark.parametrize("lanes", [2, 4, 16])
@pytest.mark.parametrize("kind", [Mlp, Tied, Lstm], ids=lambda kind: kind.__name__)
def test_a_unit_is_the_mean_of_its_records_clipped_as_one(kind, lanes):
    """Also a unit of more records than are computed at once."""
    task, unit_of = kind(), torch.tensor([7, 2, 7, 5, 5, 7, 2, 9, 7, 7, 5])
    found = gradient_of(isolated(task), task.batch(COUNT), unit_of=unit_of, physical_batch=lanes)
    parameters = list(task.made.parameters())
    losses = one_by_one(task.loss, task.made, task.batch(COUNT), COUNT)
    total = [torch.zeros_like(p) for p in parameters]
    for unit in unit_of.unique():
        mean = torch.stack([loss for loss, own in zip(losses, unit_of, strict=True) if own == unit]).mean()
        gradient = torch.autograd.grad(mean, parameters, retain_graph=True)
        total = [t + g * min(1.0, 0.1 / length(gradient)) for t, g in zip(total, gradient, strict=True)]
    assert_close(found, total)


def test_a_bad_record_of_a_unit_counts_as_zero_in_its_mean():
    task = Logistic()
    batch = task.batch(4)
    batch[0][1] = float("nan")
    found = gradient_of(isolated(task), batch, unit_of=torch.tensor([0, 0, 1, 1]), norm=1e6)
    losses = one_by_one(task.loss, task.made, batch, 4)
    assert_close(found, torch.autograd.grad((losses[0] + losses[2] + losses[3]) / 2, list(task.made.parameters())))


def test_frozen_parameters_stay_and_an_unused_one_gets_noise_like_any_other():
    class Partly(Private):
        def build(self):
            built = nn.ModuleList([nn.Linear(5, 1), nn.Linear(5, 1)])
            built[0].bias.requires_grad_(False)
            return built

        def loss(self, model, batch):
            return model[0](batch[0]).square().mean()

        def predict(self, model, batch):
            return model[1](batch[0]).squeeze(1), batch[1]

    task = Partly()
    model = isolated(task)
    optimizer = torch.optim.SGD(model.module.parameters(), lr=1.0)
    PrivateSteps(
        model, optimizer, noise_multiplier=1, max_grad_norm=1, expected_batch_size=1, randomness=SystemRandomness()
    ).take(task.batch(3))
    moved = {n: not torch.equal(p, task.made.state_dict()[n]) for n, p in model.module.named_parameters()}
    assert moved == {"0.weight": True, "0.bias": False, "1.weight": True, "1.bias": True}


def test_the_style_is_chosen_on_made_up_records_and_changes_nothing():
    task = Mlp()
    model = isolated(task)
    before, state = [p.detach().clone() for p in model.module.parameters()], torch.get_rng_state()
    choice = choose_style(model, task.batch(1), randomness=SystemRandomness(), physical_batch=8, repeats=2)
    assert choice.seconds[choice.style] == min(choice.seconds.values()) > 0
    assert set(choice.seconds) == {"hooks", "ghost"}
    assert all(torch.equal(b, p) for b, p in zip(before, model.module.parameters(), strict=True))
    assert torch.equal(state, torch.get_rng_state())


def test_an_error_of_the_task_is_the_tasks():
    class Wrong(Private):
        def loss(self, model, batch):
            return (batch[0] @ batch[0]).mean() * model(batch[0]).mean()

    with pytest.raises(TaskError, match=r"cannot be run: operator\.matmul"):
        gradient_of(isolated(Wrong()), Wrong().batch(3))


if torch.cuda.is_available():  # a machine without has nothing to skip

    @EVERY_TASK
    def test_steps_on_a_gpu_are_those_on_a_cpu(kind):
        task = kind()
        expected = clipped_one_by_one(task, task.batch(COUNT), COUNT, 0.1)
        device = torch.device("cuda")
        batch = task.batch(COUNT)
        moved = (
            {k: v.to(device) for k, v in batch.items()} if isinstance(batch, dict) else [v.to(device) for v in batch]
        )
        assert_close([g.cpu() for g in gradient_of(isolated(task).to(device), moved)], expected)
