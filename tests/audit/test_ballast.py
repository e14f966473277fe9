"""Canaries in a run: their bound stays below what is charged while the noise is there, and tells when it is not."""

import numpy as np
import pytest
import torch
from torch import nn

from consilia.privacy.accounting import composed, epsilon
from consilia.privacy.calibration import calibrated
from consilia.privacy.mechanisms import Mechanism, sampled_gaussian
from consilia.privacy.plan import JobPlan
from consilia_workers.audit.ballast import FEWEST, MOST, Ballast, Watched, canaries_for
from consilia_workers.audit.own import lower_bound
from consilia_workers.privacy.dpsgd import PrivateSteps
from consilia_workers.privacy.noise import SystemRandomness
from consilia_workers.privacy.rebuilding import rebuild
from consilia_workers.privacy.tracing import describe
from consilia_workers.task import Task

DELTA, NORM = 1e-5, 0.7
HONEST = [(1, 0.05, 20), (1, 1.0, 5), (2, 0.3, 10), (3, 0.25, 40), (5, 0.08, 60), (8, 0.25, 30), (8, 1.0, 10)]


class Tiny(Task):
    """One weight."""

    def model(self):
        return nn.Linear(1, 1)

    def data(self, source, split):
        return [(torch.ones(1), torch.tensor(0.0))]

    def loss(self, model, batch):
        return (model(batch[0]).squeeze(1) - batch[1]).square().mean()

    def predict(self, model, batch):
        return model(batch[0]).squeeze(1), batch[1]


def plan_for(promised, rate, steps, rounds=1):
    def job(noise):
        return sampled_gaussian(noise, rate, steps * rounds)

    once = calibrated(job, [], promised, DELTA).model_copy(update={"steps": steps})
    return JobPlan(rounds=rounds, training=once, evaluation=None, evaluations=0, epsilon=promised, delta=DELTA)


def charged(plan):
    return epsilon(composed(plan.releases(plan.rounds)), DELTA)


class Keeping(torch.optim.SGD):
    """Keeps what it is given, and moves nothing."""

    def step(self, closure=None):
        self.kept = [p.grad.clone() for p in self.param_groups[0]["params"]]


def steps_for(plan, noise=1.0, optimizer=None):
    """Real steps on a model of one weight, with so much of the noise that was charged."""
    model = rebuild(describe(Tiny({})))
    return PrivateSteps(
        model,
        optimizer or Keeping(model.module.parameters(), lr=1.0),
        noise_multiplier=noise * float(plan.training.noise_multiplier),
        max_grad_norm=NORM,
        expected_batch_size=1,
        randomness=SystemRandomness(),
        physical_batch=2,
    )


def play(ballast, steps, count, rate):
    randomness, nobody = SystemRandomness(), (torch.zeros(0, 1), torch.zeros(0))
    for _ in range(count):
        if ballast.watches():
            sampled = randomness.poisson_mask(ballast.aboard, rate)
            ballast.observe(steps.take(nobody, None, ballast.loaded(sampled)))


def bound_of(folder, plan, *, noise=1.0, rate=None):
    ballast = Ballast(plan, NORM, folder / "canaries.npz", SystemRandomness())
    rate = float(plan.training.sample_rate) if rate is None else rate
    play(ballast, steps_for(plan, noise), plan.training.steps * plan.rounds, rate)
    return lower_bound(ballast.watched, DELTA).epsilon


@pytest.mark.slow
@pytest.mark.parametrize("time", range(3))
@pytest.mark.parametrize(("promised", "rate", "steps"), HONEST)
def test_the_bound_of_an_honest_run_is_below_what_was_charged(tmp_path, promised, rate, steps, time):
    plan = plan_for(promised, rate, steps)
    assert bound_of(tmp_path, plan) < charged(plan)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize(("promised", "rate", "steps"), HONEST)
def test_noise_that_is_missing_or_too_small_is_found_out(tmp_path, promised, rate, steps, noise):
    plan = plan_for(promised, rate, steps)
    assert bound_of(tmp_path, plan, noise=noise) > charged(plan)


@pytest.mark.slow
@pytest.mark.parametrize(("promised", "evaluations"), [(5, 21), (8, 51)])
def test_noise_that_is_missing_is_found_out_though_evaluations_were_charged_too(tmp_path, promised, evaluations):
    beside = Mechanism(kind="Gaussian", noise_multiplier="10")
    training = calibrated(lambda noise: sampled_gaussian(noise, 1, 10), [beside.times(evaluations)], promised, DELTA)
    plan = JobPlan(
        rounds=1, training=training, evaluation=beside, evaluations=evaluations, epsilon=promised, delta=DELTA
    )
    assert bound_of(tmp_path, plan, noise=0.0) > charged(plan)


@pytest.mark.parametrize(("promised", "rate", "steps"), [(1, 0.05, 20), (3, 0.02, 40), (5, 0.02, 60)])
def test_taking_everybody_where_samples_were_charged_is_found_out(tmp_path, promised, rate, steps):
    plan = plan_for(promised, rate, steps)
    assert bound_of(tmp_path, plan, rate=1.0) > charged(plan)


def test_without_any_noise_the_canaries_that_are_in_are_all_told_from_the_others(tmp_path):
    plan = plan_for(1, 1.0, 5)
    ballast = Ballast(plan, NORM, tmp_path / "canaries.npz", SystemRandomness())
    play(ballast, steps_for(plan, 0.0), 5, 1.0)
    scores, kept = ballast.watched.scores, ballast.watched.kept
    assert scores[kept].min() > scores[~kept].max()


def test_canaries_change_nothing_of_the_step_that_the_model_takes():
    plan, batch, moved = plan_for(1, 1.0, 5), (torch.ones(3, 1), torch.zeros(3)), []
    for ballast in (None, torch.full((50,), NORM, dtype=torch.float64)):
        optimizer = Keeping([nn.Parameter(torch.zeros(1))], lr=1.0)
        steps = steps_for(plan, 0.0, optimizer)
        optimizer.param_groups[0]["params"] = steps._parameters
        noisy = steps.take((batch[0], batch[1] + 1), None, ballast)
        moved.append(optimizer.kept)
    assert all(torch.equal(one, other) for one, other in zip(*moved, strict=True))
    assert any(gradient.any() for gradient in moved[0])
    assert torch.equal(noisy, torch.full((50,), NORM, dtype=torch.float64))


def test_canaries_get_noise_of_the_size_that_was_asked_for():
    plan = plan_for(1, 1.0, 5)
    noisy = steps_for(plan).take((torch.zeros(0, 1), torch.zeros(0)), None, torch.zeros(20_000, dtype=torch.float64))
    assert float(noisy.std()) == pytest.approx(NORM * float(plan.training.noise_multiplier), rel=0.03)


def test_a_restart_goes_on_with_the_same_coins_and_what_was_seen(tmp_path):
    plan = plan_for(1, 0.2, 10, rounds=4)
    first = Ballast(plan, NORM, tmp_path / "canaries.npz", SystemRandomness())
    play(first, steps_for(plan), 10, 0.2)
    first.close_round(2.0)
    kept = first.watched
    play(first, steps_for(plan), 10, 0.2)  # a round that is never closed
    again = Ballast(plan, NORM, tmp_path / "canaries.npz", SystemRandomness())
    assert np.array_equal(again.watched.kept, kept.kept)
    assert np.array_equal(again.watched.scores, kept.scores)
    assert (again.watched.steps, again.watched.training_seconds) == (10, 2.0)


def test_sabotage_before_and_after_a_restart_adds_up(tmp_path):
    plan = plan_for(1, 0.2, 10, rounds=4)
    for _ in range(4):
        ballast = Ballast(plan, NORM, tmp_path / "canaries.npz", SystemRandomness())
        play(ballast, steps_for(plan, 0.0), 10, 0.2)
        ballast.close_round(1.0)
    assert ballast.watched.steps == 40
    assert lower_bound(ballast.watched, DELTA).epsilon > charged(plan)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:200]),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b"\x80\x04K\x01."),
        lambda path: np.savez(path, kept=np.ones(FEWEST), scores=np.zeros(FEWEST), figures=np.zeros(3)),
        lambda path: np.savez(path, kept=np.ones(9, bool), scores=np.zeros(8), figures=np.zeros(3)),
        lambda path: np.savez(path, kept=np.ones(9, bool), scores=np.full(9, np.nan), figures=np.zeros(3)),
        lambda path: np.savez(path, kept=np.ones(9, bool), scores=np.zeros(9), figures=np.array([object()] * 3)),
    ],
    ids=["cut", "empty", "gone", "pickle", "no coins", "other lengths", "no numbers", "pickled within"],
)
def test_a_damaged_file_is_as_good_as_none(tmp_path, damage):
    path = tmp_path / "canaries.npz"
    Watched.drawn(FEWEST).keep(path)
    damage(path)
    assert Watched.read(path) is None


def test_only_its_owner_can_read_who_is_in(tmp_path):
    Watched.drawn(20).keep(tmp_path / "canaries.npz")
    assert (tmp_path / "canaries.npz").stat().st_mode & 0o777 == 0o600


def test_the_coins_are_fair_and_every_job_has_its_own():
    """Five standard deviations: by chance once in two million."""
    one, other = Watched.drawn(MOST), Watched.drawn(MOST)
    assert one.kept.sum() == pytest.approx(MOST / 2, abs=5 * 100)
    assert (one.kept != other.kept).sum() == pytest.approx(MOST / 2, abs=5 * 100)


def test_the_smaller_the_chance_to_be_seen_the_more_canaries_there_are():
    job = plan_for(5, 0.08, 60).training
    assert FEWEST < canaries_for([job], DELTA, 10) < canaries_for([job], DELTA, 1) < MOST
    assert canaries_for([plan_for(1, 0.08, 60).training], DELTA, 10) == FEWEST
    assert canaries_for([sampled_gaussian(0.2, 1, 60)], DELTA, 10) == MOST
