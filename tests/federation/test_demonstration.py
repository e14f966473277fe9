"""`make demo-cluster`, but for the cluster, which is the one of the tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]
SPACES = ("hub", "riverside", "lakeview", "hilltop")


@pytest.fixture
def demonstration(installation, tmp_path):
    """The script, run where its example and its chart are to be found; its namespaces go afterwards."""
    for name in ("charts", "examples", "scripts", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    environment = {**installation.cluster.environment, "CONSILIA_KUBECONFIG": str(installation.cluster.kubeconfig)}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    command = [ROOT / "scripts" / "demo-cluster", Path(sys.prefix)]
    try:
        yield lambda: subprocess.run(
            command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True, timeout=400
        )
    finally:
        installation.cluster.kubectl("delete", "namespace", *SPACES, "--ignore-not-found", timeout=300)


def test_the_demonstration_shows_a_job_and_ends_with_its_model(demonstration, tmp_path):
    shown = demonstration().stdout
    assert "NAME            STATE" in shown
    assert "20/20" in shown
    assert (tmp_path / "model.safetensors").stat().st_size == 252
