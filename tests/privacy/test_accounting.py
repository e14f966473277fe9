"""What a ledger adds up is what Google's accountants say, and never less than the truth."""

import dp_accounting
import pytest
from dp_accounting.rdp import RdpAccountant
from opacus.accountants.analysis import rdp as opacus_rdp

from consilia.privacy.accounting import composed, epsilon, tightest_epsilon
from consilia.privacy.mechanisms import Mechanism, sampled_gaussian


def gaussian(noise, times=1):
    return Mechanism(kind="Gaussian", noise_multiplier=noise, steps=times)


def laplace(noise, times=1):
    return Mechanism(kind="Laplace", noise_multiplier=noise, steps=times)


SETTINGS = {
    "a long job of small batches": ([sampled_gaussian(1.1, 0.01, 10_000)], 1e-5, 5.632),
    "MNIST's usual one": ([sampled_gaussian(1.1, 256 / 60_000, 14_063)], 1e-5, 2.597),
    "large batches": ([sampled_gaussian(2, 0.1, 300)], 1e-5, 4.564),
    "whole data set": ([sampled_gaussian(10, 1, 100)], 1e-6, 5.222),
    "few steps": ([sampled_gaussian(1, 0.05, 100)], 1e-5, 4.039),
    "two jobs of different rates": ([sampled_gaussian(1.1, 0.01, 5_000), sampled_gaussian(2, 0.05, 400)], 1e-5, 4.69),
    "a rate that changes each round": (
        [sampled_gaussian(1.5, rate, 20) for rate in (0.02, 0.03, 0.04, 0.05, 0.06)],
        1e-5,
        None,
    ),
    "training and evaluations": ([sampled_gaussian(1.3, 0.1, 100), gaussian("20", 11)], 1e-5, None),
    "two finished updates": ([gaussian("4", 50), laplace("8", 30)], 1e-5, None),
    "all three kinds, thrice": ([sampled_gaussian(3, 0.2, 60), gaussian("9", 4), laplace("40", 20)] * 3, 1e-6, None),
}


@pytest.fixture(params=SETTINGS, name="setting")
def _setting(request):
    return SETTINGS[request.param]


def events(mechanisms):
    for each in mechanisms:
        noise, rate = float(each.noise_multiplier), float(each.sample_rate)
        event = dp_accounting.LaplaceDpEvent(noise) if each.kind == "Laplace" else dp_accounting.GaussianDpEvent(noise)
        if each.kind == "SampledGaussian":
            event = dp_accounting.PoissonSampledDpEvent(rate, event)
        yield dp_accounting.SelfComposedDpEvent(event, each.steps)


def test_epsilon_is_that_of_the_reference_accountant(setting):
    mechanisms, delta, _ = setting
    reference = RdpAccountant()
    for event in events(mechanisms):
        reference.compose(event)

    assert epsilon(composed(mechanisms), delta) == pytest.approx(reference.get_epsilon(delta), abs=1e-3)


def test_epsilon_is_that_of_the_published_table(setting):
    mechanisms, delta, published = setting

    assert published is None or epsilon(composed(mechanisms), delta) == pytest.approx(published, abs=6e-3)


def test_epsilon_is_never_below_the_privacy_loss_distributions(setting):
    mechanisms, delta, _ = setting
    tight = tightest_epsilon(mechanisms, delta)

    assert tight <= epsilon(composed(mechanisms), delta)
    assert tight > 0.3 * epsilon(composed(mechanisms), delta)


@pytest.mark.parametrize("name", ["a long job of small batches", "large batches", "two jobs of different rates"])
def test_another_implementation_adds_up_to_the_same(name):
    mechanisms, delta, _ = SETTINGS[name]
    orders = [*(1 + x / 10 for x in range(10, 100)), *range(11, 64)]
    divergences = sum(
        opacus_rdp.compute_rdp(
            q=float(each.sample_rate), noise_multiplier=float(each.noise_multiplier), steps=each.steps, orders=orders
        )
        for each in mechanisms
    )
    found, _order = opacus_rdp.get_privacy_spent(orders=orders, rdp=divergences, delta=delta)

    assert epsilon(composed(mechanisms), delta) == pytest.approx(found, abs=1e-3)


def test_the_limit_theorem_that_tells_too_little_is_not_what_counts():
    from opacus.accountants import GaussianAccountant

    with pytest.warns(UserWarning, match="underestimate"):
        accountant = GaussianAccountant()
    accountant.history = [(1.0, 0.05, 100)]
    mechanisms = [sampled_gaussian(1, 0.05, 100)]

    assert accountant.get_epsilon(delta=1e-5) < tightest_epsilon(mechanisms, 1e-5) - 0.5  # 2.7 where 3.5 is true
    assert epsilon(composed(mechanisms), 1e-5) > tightest_epsilon(mechanisms, 1e-5)


def test_nothing_costs_nothing():
    assert epsilon(composed([]), 1e-5) == 0
