"""What a report says of privacy: figures for jobs that promise some, and in words what was promised."""

import re

import pytest

from consilia.api import FederatedJob
from consilia_workers.audit.result import AuditResult, LowerBound, MembershipAttack, Share
from consilia_workers.report.comparison import compare
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


def private_seed(make, number, audits=(), epsilon=2.8, **changes):
    spent = dict.fromkeys(["riverside", "lakeview", "hilltop"], epsilon) | {
        each.hospital: each.epsilon for each in audits
    }
    changes = {
        "spent": spent,
        "audits": {each.hospital: each for each in audits},
        "alone": None,
        "pooled": None,
    } | changes
    return make.seed(number).model_copy(update=changes)


def private(make, *audits, changes=None, **privacy):
    return make.report([private_seed(make, 1, audits, **(changes or {}))], spec=spec(**privacy))


def section(report):
    page = render(report)
    assert "<script" not in page
    found = re.search(r'<section aria-labelledby="privacy">.*?</section>', page, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", found[0]).split()) if found else ""


def words(report):
    return " ".join(notes(report, [], []))


ALONE = {name: {"auc": 0.8} for name in ("riverside", "lakeview", "hilltop")}


def words_with_yardsticks(make, seed):
    report = make.report([seed], spec=spec())
    return " ".join(notes(report, [compare(report, "auc")], []))


def test_every_hospital_has_what_it_spent_and_what_its_audit_found(make):
    shown = section(private(make, audit("riverside"), audit("lakeview", others=40)))
    assert "riverside 2.900 0.800 0.530 ± 0.032 3.0 % (0.6 to 8.5) consistent" in shown
    assert "lakeview 2.900 0.800 0.530 ± 0.054 — consistent" in shown
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
    assert (row.epsilon, row.bound, row.auc, row.violated) == (2.95, 0.9, "0.610 ± 0.032", False)


def test_a_broken_promise_comes_first(make):
    report = private(make, audit("riverside", bound=4.0), audit("lakeview"))
    assert notes(report, [], [])[0].startswith("The audit found the promise broken at riverside: ")
    assert "riverside 2.900 4.000 0.530 ± 0.032 3.0 % (0.6 to 8.5) violated" in section(report)


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
    tighter = {"riverside": 2.25, "lakeview": 2.375}
    plain, asked = private(make), private(make, changes={"tighter": tighter}, accountant="PRV")
    assert [row.tighter for row in privacy_rows(asked)] == [2.25, 2.375, None]
    assert "2.250" in section(asked)
    assert "from the privacy loss distribution: 2.375" in words(asked)
    assert privacy_rows(plain)[0].tighter is None
    assert "tighter" not in section(plain)


def test_of_several_trainings_it_is_said_that_each_spends(make):
    seeds = [private_seed(make, number) for number in (1, 2)]
    assert "it is of each of the 2 trainings of this run alone" in words(make.report(seeds, spec=spec()))
    assert "it is of this job alone" in words(private(make))


def test_updates_that_are_noisy_as_a_whole_have_a_section_without_audits(make):
    shown = section(private(make, mechanism="Laplace"))
    assert "hides all data of a hospital" in shown
    assert "δ = 1e-5, for all data of a hospital" in shown
    assert "riverside 2.800 lakeview" in shown
    assert "Updates that are noisy as a whole are not audited." in shown


def test_yardsticks_of_a_private_job_are_said_to_have_no_privacy(make):
    assert "were trained without privacy" in words_with_yardsticks(make, private_seed(make, 1, alone=ALONE))
    assert "was not measured in this run" in words_with_yardsticks(make, private_seed(make, 1))


def test_a_report_with_audits_is_read_back_as_it_was(make, tmp_path):
    report = private(make, audit("riverside"))
    report.save(tmp_path / "report.json")
    assert type(report).load(tmp_path / "report.json") == report
