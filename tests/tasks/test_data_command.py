import json

import pytest
import typer
from typer.testing import CliRunner

from consilia.errors import DataError
from consilia_workers.cli import data
from consilia_workers.datasets import CATALOG


@pytest.fixture
def consilia(monkeypatch, tmp_path):
    """Runs `consilia …` with an empty data folder and gives the result; our own errors come out as such."""
    monkeypatch.setenv("CONSILIA_DATA", str(tmp_path))
    app = typer.Typer()
    app.callback()(lambda: None)
    data.register(app)

    def run(*arguments):
        result = CliRunner().invoke(app, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def test_the_list_shows_every_set_with_its_licence_and_whether_it_is_here(consilia):
    result = consilia("data")
    assert result.exit_code == 0
    assert all(name in result.output for name in CATALOG)
    assert "Licence: ODC-By." in result.output
    assert result.output.count("On this machine: no.") == 2


def test_the_list_for_scripts_has_sites_patients_checksums_and_addresses(consilia, tmp_path):
    listed = {entry["name"]: entry for entry in json.loads(consilia("data", "--json").output)}
    assert listed.keys() == CATALOG.keys()
    assert listed["heart-disease"]["sites"] == ["cleveland", "hungarian", "switzerland", "va"]
    assert listed["heart-disease"]["folder"] == str(tmp_path / "heart_disease")
    assert {len(file["sha256"]) for file in listed["heart-disease"]["files"]} == {64}


def test_a_set_that_needs_no_download_is_said_to_need_none(consilia, tmp_path):
    result = consilia("data", "get", "heart-failure", "--to", str(tmp_path / "x"))
    assert (result.exit_code, result.output.startswith("heart-failure needs no download")) == (0, True)
    assert not (tmp_path / "x").exists()


def test_verify_fails_while_files_are_missing_or_different(consilia, tmp_path):
    (tmp_path / "ist").mkdir()
    (tmp_path / "ist" / "IST.rda").write_bytes(b"other")
    result = consilia("data", "verify", "--json")
    assert result.exit_code == 1
    states = json.loads(result.output)
    assert states["stroke"] == {"IST.rda": "different"}
    assert set(states["heart-disease"].values()) == {"missing"}
    assert states["breast-cancer"] == {}
    assert "damaged: see `consilia data verify stroke`" in consilia("data").output


def test_what_is_here_is_verified_and_not_fetched(consilia, real_data):
    folder = str(real_data("heart_disease"))
    assert consilia("data", "verify", "heart-disease", "--at", folder).exit_code == 0
    result = consilia("data", "get", "heart-disease", "--to", folder)
    assert "0 files downloaded, 4 verified" in result.output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("get", "lungs"), "No data set is called 'lungs'"),
        (("verify", "lungs"), "No data set is called 'lungs'"),
        (("verify", "--at", "/tmp"), "--at goes with one data set"),
    ],
)
def test_wrong_names_are_refused(consilia, arguments, complaint):
    with pytest.raises(DataError, match=complaint):
        consilia("data", *arguments)
