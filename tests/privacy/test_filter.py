"""The filter: what a budget affords, whoever asks for it in whatever order."""

from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import plan

from consilia.ledger.accounts import Account
from consilia.ledger.decisions import affordable
from consilia.privacy.accounting import ORDERS, composed, curve, epsilon, nothing
from consilia.privacy.filter import PrivacyFilter, favourite_orders
from consilia.privacy.mechanisms import Mechanism, sampled_gaussian

BUDGETS = st.tuples(st.sampled_from([0.5, 1.0, 3.0, 8.0]), st.sampled_from([1e-5, 1e-7]))
RELEASES = st.lists(
    st.sampled_from(
        [
            sampled_gaussian(1.1, 0.01, 100),
            sampled_gaussian(4, 0.1, 10),
            Mechanism(kind="Gaussian", noise_multiplier="20"),
            Mechanism(kind="Laplace", noise_multiplier="30", steps=2),
        ]
    ),
    max_size=60,
)


def afforded(rule, release, at_most):
    """How many rounds of one release a fresh account of that budget pays for."""
    return affordable(Account("0" * 16, "Record", budget=rule), "job", plan(at_most, release))


def test_rounds_are_not_added_up_one_by_one():
    release = sampled_gaussian(1.1, 0.01, 100)
    each = curve(release)

    assert int(8 / epsilon(each, 1e-5)) < 12
    assert 180 <= afforded(PrivacyFilter.of(8, 1e-5), release, 1000) <= 185  # 185 if nobody might adapt


def planned(each, budget):
    """How many rounds fit if all is known beforehand, so that one order may be picked at the end."""
    low, high = 0, 100_000
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if epsilon(each * middle, 1e-5) <= budget else (low, middle - 1)
    return low


@pytest.mark.parametrize("budget", [0.5, 1, 3, 5, 8])
@pytest.mark.parametrize(
    "each", [sampled_gaussian(8, 0.1, 1), sampled_gaussian(4, 0.03, 1), sampled_gaussian(20, 1, 1)]
)
def test_being_ready_for_whoever_adapts_costs_a_tenth_of_the_rounds_at_most(budget, each):
    total, most = PrivacyFilter.of(budget, 1e-5), planned(curve(each), budget)

    assert 0.9 * most - 1 <= afforded(total, each, 100_000) <= most


@given(BUDGETS, RELEASES)
@settings(deadline=None, max_examples=40)
def test_what_is_admitted_costs_no_more_than_the_budget_by_any_accountant(budget, releases):
    rule, total = PrivacyFilter.of(*budget), nothing()
    for each in releases:
        if rule.admits(total + curve(each)):
            total = total + curve(each)

    assert epsilon(total, budget[1]) <= rule.spent(total) <= budget[0] * (1 + 1e-9)


@given(BUDGETS, RELEASES, RELEASES)
@settings(deadline=None, max_examples=40)
def test_more_releases_never_count_for_less(budget, some, more):
    rule = PrivacyFilter.of(*budget)

    assert rule.spent(composed([*some, *more])) >= rule.spent(composed(some))


@given(BUDGETS, st.integers(1, 300), st.sampled_from([0.01, 0.1, 1.0]))
@settings(deadline=None, max_examples=40)
def test_so_many_rounds_as_it_affords_and_not_one_more(budget, at_most, rate):
    rule, release = PrivacyFilter.of(*budget), sampled_gaussian(3, rate, 1)
    each, count = curve(release), afforded(rule, release, at_most)

    assert count == 0 or rule.admits(each * count)
    assert count == at_most or not rule.admits(each * (count + 1))


def test_the_orders_share_delta_out():
    rule = PrivacyFilter.of(3, 1e-5)
    alone = np.log1p(-1 / ORDERS) - np.log(1e-5 * ORDERS) / (ORDERS - 1)
    shares = np.exp((alone - rule.conversion) * (ORDERS - 1))

    assert shares.sum() == pytest.approx(1)
    assert ORDERS[shares.argmax()] == rule.favourites[0]


def test_a_lowered_budget_keeps_the_orders_that_were_fixed():
    assert PrivacyFilter.of(8, 1e-5).with_budget(2, 1e-5).favourites == favourite_orders(8, 1e-5)
    assert favourite_orders(8, 1e-5) != favourite_orders(2, 1e-5)


@given(st.floats(1e-130, 1e131), st.floats(1e-125, 1 - 2**-53))
def test_every_budget_that_can_be_written_has_its_orders(epsilon, delta):
    assert set(favourite_orders(epsilon, delta)) <= set(ORDERS)


@given(st.floats(1e-3, 1e3), st.floats(1e-12, 1e-2))
def test_the_orders_are_those_that_ledgers_were_begun_with(epsilon, delta):
    """As it was first written: a ledger that was begun then must mean the same now."""
    logarithm = log(1 / delta)
    above_one = sqrt(logarithm / (sqrt(logarithm + epsilon) - sqrt(logarithm)) ** 2)
    distances = [np.abs(np.log(ORDERS - 1) - log(above_one * place)) for place in (0.8, 0.5, 0.3)]
    found = favourite_orders(epsilon, delta)

    for order, distance in zip(found, distances, strict=True):
        assert distance[order == ORDERS][0] == pytest.approx(distance.min(), abs=1e-9)


@pytest.mark.parametrize("orders", [slice(None), slice(1), slice(50, 90)])
def test_what_is_no_number_counts_as_infinite(orders):
    total, rule = curve(sampled_gaussian(1.1, 0.01, 100)).copy(), PrivacyFilter.of(1e9, 1e-5)
    total[orders] = np.nan
    known = ~np.isnan(total)

    assert rule.spent(total) == min(total[known] + rule.conversion[known], default=np.inf)
    assert rule.admits(total) == known.any()
    assert epsilon(total, 1e-5) >= epsilon(curve(sampled_gaussian(1.1, 0.01, 100)), 1e-5)
    assert known.any() or epsilon(total, 1e-5) == np.inf


@pytest.mark.parametrize("noise", [1e4, 1e6])
def test_no_release_pays_anything_back_however_much_noise_it_has(noise):
    for kind in ("Gaussian", "Laplace"):
        assert curve(Mechanism(kind=kind, noise_multiplier=repr(noise))).min() >= 0
    for rate in (1e-9, 1e-3, 0.5):
        assert curve(sampled_gaussian(noise, rate, 10_000)).min() >= 0
