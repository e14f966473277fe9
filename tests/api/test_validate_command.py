import json
from pathlib import Path

import pytest
import typer
from api_documents import document
from typer.testing import CliRunner

from consilia.manifest.yaml_document import write_document
from consilia_workers.cli import validate

EXAMPLE = str(Path(__file__).parents[2] / "examples/breast-cancer.yaml")


@pytest.fixture
def consilia():
    """Runs `consilia …` and gives the result."""
    app = typer.Typer()
    app.callback()(lambda: None)
    validate.register(app)
    return lambda *arguments: CliRunner().invoke(app, ["validate", *arguments], catch_exceptions=False)


@pytest.fixture
def bad(tmp_path):
    """A file with one problem."""
    path = tmp_path / "bad.yaml"
    path.write_text(write_document(document("FederatedJob", {"rounds.count": 0})))
    return str(path)


def test_a_valid_file_is_said_to_be_valid(consilia):
    result = consilia(EXAMPLE)
    assert (result.exit_code, result.output) == (0, f"{EXAMPLE}: valid\n")


def test_a_problem_is_printed_with_place_path_value_rule_and_remedy(consilia, bad):
    result = consilia(bad)
    assert result.exit_code == 2
    assert result.output == (
        f"{bad}:15:12  spec.rounds.count: 0\n    must be at least 1\n    Write a number from 1 on.\n"
    )


def test_of_several_files_one_bad_one_is_enough(consilia, bad):
    result = consilia(EXAMPLE, bad)
    assert result.exit_code == 2
    assert f"{EXAMPLE}: valid\n" in result.output


def test_scripts_get_one_json_object(consilia, bad):
    result = consilia("--json", EXAMPLE, bad)
    answer = json.loads(result.output)
    assert (result.exit_code, answer["valid"]) == (2, False)
    assert [file["valid"] for file in answer["files"]] == [True, False]
    (problem,) = answer["files"][1]["problems"]
    assert problem == {
        "file": bad,
        "line": 15,
        "column": 12,
        "path": "spec.rounds.count",
        "value": "0",
        "rule": "must be at least 1",
        "remedy": "Write a number from 1 on.",
    }


def test_markup_in_a_file_is_shown_not_obeyed(consilia, tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_text(write_document(document("FederatedJob", {"dataset": "[red]x[/red]"})))
    assert "[red]x[/red]" in consilia(str(path)).output


def test_a_file_for_a_cluster_is_checked_as_its_operator_does(consilia, tmp_path):
    path = tmp_path / "cluster.yaml"
    tolerations = [{"key": "a"}, {"keys": "b"}]
    changes = {"resources": {"gpu": 1, "podTemplate": {"spec": {"tolerations": tolerations}}}}
    path.write_text(write_document(document("FederatedJob", changes)))
    assert "not in a local run: spec.resources" in consilia(str(path)).output
    output = consilia("--cluster", str(path)).output
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if "keys: b" in text)
    assert f"{path}:{line}:" in output
    assert "spec.resources.podTemplate.spec.tolerations[1].keys" in output


def test_no_file_is_a_usage_error(consilia):
    assert consilia().exit_code == 2
