import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from consilia.errors import RunError
from consilia_workers.cli.app import app
from consilia_workers.report.page import render


@pytest.fixture
def folder(make, tmp_path):
    make.report([make.seed(seed) for seed in range(2)]).save(tmp_path / "report.json")
    return tmp_path


def test_the_page_is_rebuilt_from_the_figures_alone(make, folder):
    result = CliRunner().invoke(app, ["report", str(folder)])
    assert result.exit_code == 0
    assert (folder / "report.html").read_text("utf-8") == render(make.report([make.seed(seed) for seed in range(2)]))
    assert "riverside" in result.stdout
    assert f"report: {folder / 'report.html'}" in result.stdout


def test_for_scripts_there_is_one_json_object(folder):
    result = CliRunner().invoke(app, ["report", str(folder), "--json"])
    data = json.loads(result.stdout)
    assert (data["job"], data["seeds"], data["succeeded"]) == ("breast-cancer", 2, 2)
    assert list(data["metrics"]["auc"]["hospitals"]) == ["riverside", "lakeview", "hilltop"]
    assert data["metrics"]["auc"]["mean"]["gain"].keys() == {"mean", "deviation", "seeds"}
    assert data["metrics"]["loss"]["lowerIsBetter"]


def test_a_folder_without_a_report_is_an_error_that_says_so(tmp_path):
    result = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert isinstance(result.exception, RunError)
    assert not (tmp_path / "report.html").exists()


def test_open_shows_the_page_in_the_browser(folder, tmp_path):
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path / "opened"}\n')
    browser.chmod(0o755)
    script = "from consilia_workers.cli.app import main; main()"
    command = [sys.executable, "-c", script, "report", str(folder), "--open"]
    subprocess.run(command, env=os.environ | {"BROWSER": f"{browser} %s"}, check=True, capture_output=True)
    assert (tmp_path / "opened").read_text().strip() == (folder / "report.html").as_uri()
