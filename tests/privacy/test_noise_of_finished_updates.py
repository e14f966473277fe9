"""How much noise finished updates get, beside what is needed: by the analytic Gaussian mechanism, or by Laplace."""

import pytest
from dp_accounting.pld.common import DifferentialPrivacyParameters
from dp_accounting.pld.privacy_loss_mechanism import GaussianPrivacyLoss

from consilia.api import FederatedJob
from consilia.privacy.plan import make_plan, noise_over_clipping_norm


def planned(mechanism, epsilon, rounds):
    job = {
        "apiVersion": "consilia.dev/v1alpha1",
        "kind": "FederatedJob",
        "metadata": {"name": "perturbed"},
        "spec": {
            "task": {"entrypoint": "package:Task"},
            "dataset": "heart",
            "hospitals": {"names": ["a", "b"], "minReady": 2, "minUpdates": 2},
            "rounds": {"count": rounds},
            "privacy": {"mechanism": mechanism, "epsilon": str(epsilon), "delta": "1e-5"},
        },
    }
    return noise_over_clipping_norm(make_plan(FederatedJob.model_validate(job).spec, 1000).training)


@pytest.mark.parametrize("rounds", [1, 20])
@pytest.mark.parametrize("epsilon", [0.5, 1, 2, 5, 8])
def test_gaussian_noise_is_never_less_than_analytic_calibration_finds_and_at_most_an_eighth_more(epsilon, rounds):
    """Balle and Wang 2018 (arXiv 1805.06530); an update that changes moves by twice the clipping norm."""
    loss = GaussianPrivacyLoss.from_privacy_guarantee(DifferentialPrivacyParameters(epsilon, 1e-5), 2.0 * rounds**0.5)
    assert loss.standard_deviation < planned("Gaussian", epsilon, rounds) < 1.125 * loss.standard_deviation


@pytest.mark.parametrize("epsilon", [1, 5])
def test_laplace_noise_is_within_a_few_hundredths_of_what_pure_epsilon_takes(epsilon):
    """Of one round: by Renyi orders a little more, with a delta a little less."""
    assert planned("Laplace", epsilon, 1) == pytest.approx(2 / epsilon, rel=0.03)
