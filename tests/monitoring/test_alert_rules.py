"""The alerts: Prometheus reads them, each fires when it should and not otherwise, and the guide says what to do."""

import subprocess

import pytest
import yaml
from pages import ROOT, anchors_of
from prometheus import RULES, program

CASES = ROOT / "tests" / "monitoring" / "alerts.yaml"
GUIDE = ROOT / "docs" / "guides" / "monitoring.md"


def alerts():
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


each_alert = pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])


def promtool(*arguments):
    return subprocess.run(
        [program("promtool"), *arguments], cwd=CASES.parent, capture_output=True, text=True, check=False
    )


def test_prometheus_reads_the_rules():
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_fires_and_is_silent_as_its_cases_say():
    tried = promtool("test", "rules", CASES.name)
    assert tried.returncode == 0, tried.stdout + tried.stderr


@each_alert
def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(rule):
    cases = [case for test in yaml.safe_load(CASES.read_text())["tests"] for case in test["alert_rule_test"]]
    fires = {bool(case.get("exp_alerts")) for case in cases if case["alertname"] == rule["alert"]}
    assert fires == {True, False}


@each_alert
def test_every_alert_says_what_is_wrong_how_bad_it_is_and_where_the_way_out_stands(rule):
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert {"summary", "description"} <= rule["annotations"].keys()
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert ROOT / page == GUIDE
    assert anchor == rule["alert"].lower()
    assert anchor in anchors_of(GUIDE)


def test_a_rule_that_cannot_be_read_is_noticed(tmp_path):
    broken = RULES.read_text().replace("for: 15m", "for: soon", 1)
    (tmp_path / "broken.yaml").write_text(broken)
    assert promtool("check", "rules", str(tmp_path / "broken.yaml")).returncode != 0
