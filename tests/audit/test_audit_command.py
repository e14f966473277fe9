"""`consilia audit-privacy`: what the hospitals' audits found, as a table, as JSON, as an exit code."""

import json
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from consilia.errors import RunError
from consilia_workers.audit.ballast import Watched
from consilia_workers.audit.own import lower_bound
from consilia_workers.audit.result import AuditResult, LowerBound, MembershipAttack, Share
from consilia_workers.cli.app import app

SOME = Share(successes=3, trials=100, low=0.006, high=0.085)
ATTACK = MembershipAttack(auc=0.537, tpr_at_0_1_percent=SOME, tpr_at_1_percent=SOME, members=100, others=120)


def audit(hospital="riverside", *, bound=0.8, epsilon=3.0, attack=ATTACK):
    lower = LowerBound(epsilon=bound, confidence=0.95, one_run=0.1, separation=bound, canaries=1000, steps=40)
    return AuditResult(
        hospital=hospital,
        job="cardiology",
        epsilon=epsilon,
        delta=1e-5,
        unit="Record",
        bound=lower,
        membership=attack,
        verdict="Violated" if bound > epsilon else "Consistent",
        seconds=0.4,
        training_seconds=4.0,
    )


def keep(folder, result, seed=1):
    own = folder / f"seed-{seed}" / "hospitals" / result.hospital
    own.mkdir(parents=True)
    result.save(own / "audit.json")
    return own


def command(*arguments):
    return CliRunner(env={"COLUMNS": "100"}).invoke(app, ["audit-privacy", *map(str, arguments)])


def test_every_hospital_has_a_line_with_its_figures(tmp_path):
    keep(tmp_path, audit("riverside"))
    keep(tmp_path, audit("lakeview", bound=0.0, attack=None))
    done = command(tmp_path)
    assert done.exit_code == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[1] == ["lakeview", "3.000", "0.000", "—", "—", "Consistent"]
    assert lines[2] == [
        "riverside",
        "3.000",
        "0.800",
        "0.537",
        "±",
        "0.039",
        "3.0",
        "%",
        "(0.6",
        "to",
        "8.5)",
        "Consistent",
    ]


def test_a_bound_above_the_ledgers_figure_is_a_violation_with_a_code_of_its_own(tmp_path):
    keep(tmp_path, audit("riverside"))
    keep(tmp_path, audit("lakeview", bound=4.25))
    done = command(tmp_path)
    assert done.exit_code == 4
    assert "lakeview: ε is at least 4.25, and the ledger charged 3.00." in done.stdout
    assert "Consistent:" not in done.stdout


def test_a_hospital_that_left_no_audit_is_named(tmp_path):
    keep(tmp_path, audit("riverside"), seed=2)
    (tmp_path / "seed-2" / "hospitals" / "lakeview").mkdir()
    done = command(tmp_path)
    assert done.exit_code == 0
    assert "lakeview, seed 2: no audit." in done.stdout
    assert json.loads(command(tmp_path, "--json").stdout)["missing"] == [{"seed": 2, "hospital": "lakeview"}]


def test_a_share_of_1_percent_is_not_told_of_fewer_than_100_records(tmp_path):
    keep(tmp_path, audit(attack=ATTACK.model_copy(update={"others": 99})))
    assert "3.0 %" not in command(tmp_path).stdout


@pytest.mark.parametrize("name", ["", "audit.json"], ids=["folder", "file"])
def test_a_privacy_officer_names_what_a_trainer_left(tmp_path, name):
    own = keep(tmp_path, audit())
    assert "riverside" in command(own / name).stdout


def test_each_training_of_a_run_is_told_apart(tmp_path):
    for seed in (1, 2):
        keep(tmp_path, audit(bound=seed / 10), seed)
    lines = [line.split()[:4] for line in command(tmp_path).stdout.splitlines()]
    assert lines[1:3] == [["1", "riverside", "3.000", "0.100"], ["2", "riverside", "3.000", "0.200"]]
    (only,) = json.loads(command(tmp_path, "--seed", "2", "--json").stdout)["audits"]
    assert (only["seed"], only["bound"]["epsilon"]) == (2, 0.2)


def test_for_scripts_there_is_one_json_object(tmp_path):
    keep(tmp_path, audit(bound=4.0))
    done = command(tmp_path, "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["verdict"]) == (4, "Violated")
    assert AuditResult.model_validate({key: value for key, value in found["audits"][0].items() if key != "seed"})


@pytest.mark.parametrize("arguments", [(), ("--seed", "9")])
def test_where_there_is_no_audit_the_remedy_says_what_to_name(tmp_path, arguments):
    if arguments:
        keep(tmp_path, audit())
    done = command(tmp_path, *arguments)
    assert isinstance(done.exception, RunError)
    assert "holds no audit" in str(done.exception)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"hospital": "riverside"}'])
def test_a_file_that_is_no_audit_is_refused(tmp_path, text):
    (tmp_path / "audit.json").write_text(text)
    assert "is no audit" in str(command(tmp_path).exception)


def test_an_audit_whose_verdict_was_turned_is_refused(tmp_path):
    own = keep(tmp_path, audit(bound=4.0))
    file = own / "audit.json"
    file.write_text(file.read_text().replace("Violated", "Consistent"))
    assert "Consistent, with a bound of 4.0" in str(command(tmp_path).exception)


def test_a_verdict_that_contradicts_the_figures_cannot_be_made():
    with pytest.raises(ValidationError, match="a bound of 4"):
        AuditResult(**{**dict(audit(bound=4.0)), "verdict": "Consistent"})


def test_again_computes_the_bounds_from_what_was_seen(tmp_path):
    own = keep(tmp_path, audit())
    drawn = Watched.drawn(1000)
    seen = replace(drawn, scores=np.where(drawn.kept, 1.0, 0.0), steps=12)
    seen.keep(own / "canaries.npz")
    done = command(tmp_path, "--again", "--json")
    (found,) = json.loads(done.stdout)["audits"]
    assert found["bound"] == lower_bound(seen, 1e-5).model_dump()
    assert (done.exit_code, found["verdict"], found["membership"]["auc"]) == (4, "Violated", 0.537)


def test_again_without_the_canaries_says_so(tmp_path):
    keep(tmp_path, audit())
    assert "canaries.npz is missing or damaged" in str(command(tmp_path, "--again").exception)


def test_only_its_owner_can_read_an_audit(tmp_path):
    assert (keep(tmp_path, audit()) / "audit.json").stat().st_mode & 0o777 == 0o600
