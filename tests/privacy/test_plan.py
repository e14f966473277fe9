"""What a job will spend is known before it starts."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import make_job

from consilia.errors import ManifestError
from consilia.privacy.accounting import composed, epsilon, tightest_epsilon
from consilia.privacy.filter import PrivacyFilter
from consilia.privacy.mechanisms import rounded_down, rounded_up, sampled_gaussian
from consilia.privacy.plan import make_plan, noise_over_clipping_norm
from consilia.privacy.sizes import SIZES, public_size


def plan(privacy, units=200, rounds=10, **spec):
    return make_plan(make_job(["a", "b"], rounds={"count": rounds}, privacy=privacy, **spec).spec, units)


@pytest.mark.parametrize("asked", ["0.5", "1", "2", "5", "8"])
def test_the_noise_is_the_least_that_keeps_the_promise(asked):
    found = plan({"epsilon": asked}, training={"batchSize": 20})
    spent = PrivacyFilter.of(float(asked), 1e-5).spent(composed(found.releases(10)))

    assert 0.999 * float(asked) < spent <= float(asked)
    assert tightest_epsilon(found.releases(10), 1e-5) < epsilon(composed(found.releases(10)), 1e-5) <= float(asked)


def test_an_epoch_has_as_many_steps_as_samples_make_a_data_set():
    found = plan({"noiseMultiplier": "1.1"}, units=200, training={"batchSize": 30, "localEpochs": 2})

    assert (found.training.sample_rate, found.training.steps) == ("0.15", 14)
    assert noise_over_clipping_norm(found.training) == 1.1


def test_a_sampling_rate_goes_before_the_batch_size():
    found = plan({"noiseMultiplier": "1", "sampleRate": "0.25"}, training={"batchSize": 30, "localEpochs": 2})

    assert (found.training.sample_rate, found.training.steps) == ("0.25", 8)


def test_steps_may_be_given_and_a_batch_may_be_everything():
    found = plan({"noiseMultiplier": "9"}, training={"batchSize": 0, "localSteps": 3})

    assert (found.training.sample_rate, found.training.steps) == ("1", 3)


def test_a_hospital_smaller_than_a_batch_takes_all_of_it():
    assert plan({"noiseMultiplier": "9"}, units=20, training={"batchSize": 32}).training.sample_rate == "1"


def test_evaluations_that_are_released_are_part_of_what_is_promised():
    privacy = {"epsilon": "3", "evaluation": "Charged"}
    found = plan(privacy, training={"batchSize": 20}, evaluation={"everyRounds": 5})
    alone = plan({"epsilon": "3"}, training={"batchSize": 20})

    assert found.evaluations == 3
    assert float(found.training.noise_multiplier) > float(alone.training.noise_multiplier)
    assert PrivacyFilter.of(3, 1e-5).admits(composed(found.releases(10)))


def test_evaluations_that_cost_more_than_everything_are_refused():
    privacy = {"epsilon": "0.1", "evaluation": "Charged", "evaluationNoise": "2"}

    with pytest.raises(ManifestError, match=r"spent before training.*Raise privacy.epsilon"):
        plan(privacy)


def test_more_steps_than_any_budget_affords_are_refused():
    with pytest.raises(ManifestError, match="more than 10000000 noisy steps"):
        plan({"noiseMultiplier": "9"}, rounds=100_000, training={"localSteps": 1_000})


ODD = {
    "steps of a rate": ({"noiseMultiplier": "1", "sampleRate": "1e-7"}, "more than 10000000 noisy steps.*sampleRate"),
    "a tiny rate": ({"noiseMultiplier": "1", "sampleRate": "1e-10"}, "sampleRate is 1e-10.*between 1e-09 and 1"),
    "a tiny ε": ({"epsilon": "1e-20"}, "epsilon is 1e-20, .*Set privacy.epsilon between 1e-06 and"),
    "a huge ε": ({"epsilon": "1e40"}, "epsilon is 1e40, .*between 1e-06 and 1e\\+06"),
    "an ε that no noise keeps": ({"epsilon": "0.001"}, "no noise keeps the promise of ε = 0.001 at δ = 1e-05.*Raise"),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_an_odd_number_is_the_jobs_mistake_and_named(odd):
    privacy, told = odd
    with pytest.raises(ManifestError, match=told):
        plan(privacy, training={"localEpochs": 1})


@pytest.mark.parametrize("noise", ["1e-35", "1e40"])
@pytest.mark.parametrize("field", ["noise_multiplier", "evaluation_noise"])
def test_odd_noise_is_the_jobs_mistake_though_nobody_looked_at_its_file(noise, field):
    spec = make_job(["a"], privacy={"noiseMultiplier": "1", "evaluation": "Charged"}).spec
    odd = spec.model_copy(update={"privacy": spec.privacy.model_copy(update={field: noise})})
    with pytest.raises(ManifestError, match=f"is {noise}, which no accountant can count with"):
        make_plan(odd, 100)


@given(
    st.floats(1e-6, 1e6) | st.none(),
    st.floats(0.05, 1e6),
    st.floats(1e-9, 1) | st.none(),
    st.sampled_from(["DPSGD", "Gaussian", "Laplace"]),
)
@settings(deadline=None, max_examples=40)
def test_every_job_has_a_plan_or_is_told_why_not(epsilon, noise, rate, mechanism):
    asked = {"noiseMultiplier": repr(noise)} if epsilon is None else {"epsilon": repr(epsilon)}
    sampled = {"sampleRate": repr(rate)} if rate and mechanism == "DPSGD" else {}
    with suppress(ManifestError):
        plan({**asked, **sampled, "mechanism": mechanism}, units=10**6)


@pytest.mark.parametrize("mechanism", ["Gaussian", "Laplace"])
def test_a_finished_update_needs_noise_for_twice_its_norm(mechanism):
    found = plan({"noiseMultiplier": "8", "mechanism": mechanism})

    assert (found.training.kind, found.training.noise_multiplier) == (mechanism, "4")
    assert noise_over_clipping_norm(found.training) == 8


@given(st.integers(1, 10**10))
def test_a_size_that_is_told_is_never_above_the_count_and_never_far_below(count):
    told = public_size(count)

    assert told in SIZES
    assert told <= count < 1.34 * told + 1


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_counts_of_one_range_are_told_alike(one, other):
    between = any(min(one, other) < size <= max(one, other) for size in SIZES)
    assert (public_size(one) == public_size(other)) == (not between)


@given(st.floats(1e-6, 1e6))
def test_decimals_are_rounded_the_safe_way(value):
    assert float(rounded_down(value)) <= value * (1 + 1e-15)
    assert float(rounded_up(value)) >= value * (1 - 1e-15)


def test_what_is_recorded_reads_as_it_was_written():
    found = sampled_gaussian(1.1, 0.01, 5)

    assert (found.noise_multiplier, found.sample_rate) == ("1.1", "0.01")
