"""A real private run audits itself; with the noise switched off in it, the audit tells."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

JOB = """\
apiVersion: consilia.dev/v1alpha1
kind: FederatedJob
metadata: {name: audited}
spec:
  task: {entrypoint: "consilia_workers.tasks.breast_cancer:BreastCancer"}
  dataset: breast-cancer
  hospitals: {names: [riverside, hilltop], minReady: 2, minUpdates: 2}
  rounds: {count: 3, deadlineSeconds: 60}
  training: {localSteps: 6, batchSize: 30, optimizer: {name: SGD, learningRate: "0.1"}}
  privacy: {epsilon: "3"}
  evaluation: {metrics: [auc]}
"""
WITHOUT_NOISE = """\
from consilia_workers.privacy.noise import SystemRandomness

SystemRandomness.plus_normal = lambda self, values, std: values.copy()
"""
"""Python imports a module of the name `sitecustomize` by itself, in every process."""


def consilia(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / "consilia", *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "120"}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


def run(folder: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    (folder / "job.yaml").write_text(JOB)
    done = consilia(folder, "run", "job.yaml", "--no-baselines")
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob("consilia-runs/audited/*")
    return made, done


def test_an_honest_run_is_consistent_and_its_report_shows_it(tmp_path):
    made, done = run(tmp_path)
    audited = consilia(tmp_path, "audit-privacy", str(made), "--json")
    found = json.loads(audited.stdout)
    assert (audited.returncode, found["verdict"]) == (0, "Consistent")
    assert [each["hospital"] for each in found["audits"]] == ["hilltop", "riverside"]
    for each in found["audits"]:
        assert each["bound"]["epsilon"] < each["epsilon"] < 3
        assert each["bound"]["steps"] == 18
        assert each["membership"]["members"] > 80
    (seed,) = json.loads((made / "report.json").read_text())["seeds"]
    assert seed["audits"] == {each["hospital"]: without_seed(each) for each in found["audits"]}
    page = (made / "report.html").read_text()
    assert 'id="privacy"' in page
    assert f"{seed['audits']['riverside']['epsilon']:.3f}" in page
    assert "privacy audit found more" not in done.stdout
    logged = (made / "seed-0" / "hospitals" / "hilltop" / "output.log").read_text()
    assert "privacy audit: ε >= " in logged


def without_seed(audit: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in audit.items() if key != "seed"}


def test_a_run_whose_noise_is_switched_off_is_found_out(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_NOISE)
    made, done = run(tmp_path)
    audited = consilia(tmp_path, "audit-privacy", str(made))
    assert audited.returncode == 4
    assert audited.stdout.count("Violated") == 2
    assert "riverside: the privacy audit found more than the ledger charged" in done.stdout
    assert "found the promise broken at" in (made / "report.html").read_text()
    logged = (made / "seed-0" / "hospitals" / "hilltop" / "output.log").read_text()
    assert "ERROR hilltop privacy audit VIOLATED" in logged
