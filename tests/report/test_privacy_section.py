"""What a report says of privacy: figures for jobs that promise some, and in words what was promised."""

import re

import pytest

from consilia.api import FederatedJob
from consilia_workers.audit.result import AuditResult, LowerBound, MembershipAttack, Share
from consilia_workers.report.notes import notes
from consilia_workers.report.page import render
from consilia_workers.report.privacy import privacy_rows


def spec(**privacy):
    job = {
        "apiVersion": "consilia.dev/v1alpha1",
        "kind": "FederatedJob",
        "metadata": {"name": "private"},
        "spec": {
            "task": {"entrypoint": "package:Task"},
            "dataset": "heart",
            "hospitals": {"names": ["riverside", "lakeview", "hilltop"], "minReady": 2, "minUpdates": 2},
            "rounds": {"count": 20},
            "training": {"localSteps": 5, "batchSize": 20},
            "privacy": {"epsilon": "3", **privacy},
        },
    }
    return FederatedJob.model_validate(job).spec.model_dump(mode="json", by_alias=True, exclude_none=True)


def audit(hospital, *, bound=0.8, epsilon=2.9, auc=0.53, others=400):
    share = Share(successes=3, trials=100, low=0.006, high=0.085)
    return AuditResult(
        hospital=hospital,
        job="private",
        epsilon=epsilon,
        delta=1e-5,
        unit="Record",
        bound=LowerBound(epsilon=bound, confidence=0.95, one_run=0.1, separation=bound, canaries=1000, steps=40),
        membership=MembershipAttack(
            auc=auc, tpr_at_0_1_percent=share, tpr_at_1_percent=share, members=100, others=others
        ),
        verdict="Violated" if bound > epsilon else "Consistent",
        seconds=1.0,
        training_seconds=9.0,
    )


def private_seed(make, number, audits=(), epsilon=2.8):
    seed = make.seed(number)
    rounds = [done.model_copy(update={"epsilon": dict.fromkeys(done.samples, epsilon)}) for done in seed.rounds]
    return seed.model_copy(update={"rounds": rounds, "audits": {each.hospital: each for each in audits}})


def private(make, *audits, **privacy):
    return make.report([private_seed(make, 1, audits)], spec=spec(**privacy))


def section(report):
    page = render(report)
    assert "<script" not in page
    found = re.search(r'<section aria-labelledby="privacy">.*?</section>', page, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", found[0]).split()) if found else ""


def words(report):
    return " ".join(notes(report, [], []))


def test_every_hospital_has_what_it_spent_and_what_its_audit_found(make):
    shown = section(private(make, audit("riverside"), audit("lakeview", others=40)))
    assert "riverside 2.900 0.800 0.530 3.0 % (0.6 to 8.5) consistent" in shown
    assert "lakeview 2.900 0.800 0.530 — consistent" in shown
    assert "hilltop 2.800 — — — none" in shown
    assert "δ = 1e-5, for each record" in shown


def test_a_job_without_privacy_has_no_such_section_and_is_said_to_be_unprotected(make):
    report = make.report([make.seed(1)])
    assert section(report) == ""
    assert "not protected by differential privacy" in words(report)
    assert privacy_rows(report) == []


def test_of_several_trainings_the_worst_is_shown(make):
    seeds = [
        private_seed(make, 1, [audit("riverside", bound=0.2, auc=0.61)], epsilon=2.5),
        private_seed(make, 2, [audit("riverside", bound=0.9, epsilon=2.95, auc=0.52)], epsilon=2.7),
    ]
    row = privacy_rows(make.report(seeds, spec=spec()))[0]
    assert (row.epsilon, row.bound, row.auc, row.violated) == (2.95, 0.9, "0.610", False)


def test_a_broken_promise_comes_first(make):
    report = private(make, audit("riverside", bound=4.0), audit("lakeview"))
    assert notes(report, [], [])[0].startswith("The audit found the promise broken at riverside: ")
    assert "riverside 2.900 4.000 0.530 3.0 % (0.6 to 8.5) violated" in section(report)


def test_the_promise_is_told_with_its_figures_and_to_whom_it_holds(make):
    said = words(private(make, audit("riverside")))
    assert "for every single record of each hospital: with ε = 2.900 or less and δ = 1e-5" in said
    assert "Rényi" in said
    assert "not protected by differential privacy" not in said
    assert "broken" not in said
    assert "The hub, the other hospitals and whoever gets the model saw the noisy updates only" in said


@pytest.mark.parametrize(
    ("privacy", "told"),
    [
        ({"unit": "Patient"}, "for every single patient of each hospital"),
        ({"mechanism": "Gaussian"}, "for all data of each hospital"),
        ({}, "never left the hospitals in a message"),
        ({"evaluation": "Charged"}, "come from counts with noise"),
    ],
)
def test_what_is_hidden_and_who_knows_the_metrics_follows_from_the_job(make, privacy, told):
    assert told in words(private(make, **privacy))


def test_the_tighter_figure_is_told_where_the_job_asks_for_it(make):
    plain, asked = private(make), private(make, accountant="PRV")
    (row, *_rest) = privacy_rows(asked)
    assert 2.0 < row.tighter < 2.95
    assert f"{row.tighter:.3f}" in section(asked)
    assert f"from the privacy loss distribution: {max(r.tighter for r in privacy_rows(asked)):.3f}" in words(asked)
    assert privacy_rows(plain)[0].tighter is None
    assert "tighter" not in section(plain)


def test_a_report_with_audits_is_read_back_as_it_was(make, tmp_path):
    report = private(make, audit("riverside"))
    report.save(tmp_path / "report.json")
    assert type(report).load(tmp_path / "report.json") == report
