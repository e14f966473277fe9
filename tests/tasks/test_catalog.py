import importlib
from pathlib import Path

import pytest
import yaml

from consilia.errors import DataError
from consilia_workers.datasets import CATALOG, dataset_path, sites
from consilia_workers.datasets.catalog import data_folder
from consilia_workers.datasets.fetch import State, inspect
from consilia_workers.task import Task

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
NEEDING_FILES = [name for name, entry in CATALOG.items() if entry.files]


@pytest.mark.parametrize("name", NEEDING_FILES)
def test_the_real_files_have_the_checksums_and_sizes_of_the_catalog(real_data, name):
    folder = real_data(CATALOG[name].folder)
    assert [finding.state for finding in inspect(CATALOG[name], folder)] == [State.VERIFIED] * len(CATALOG[name].files)
    assert [(folder / file.name).stat().st_size for file in CATALOG[name].files] == [
        f.size for f in CATALOG[name].files
    ]


@pytest.mark.parametrize("name", NEEDING_FILES)
def test_every_file_is_fetched_over_https(name):
    assert all(file.url.startswith("https://") for file in CATALOG[name].files)


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"CONSILIA_DATA": "/mnt/data", "XDG_DATA_HOME": "/x"}, "/mnt/data"),
        ({"CONSILIA_DATA": "", "XDG_DATA_HOME": "/x"}, "/x/consilia"),
        ({"CONSILIA_DATA": "", "XDG_DATA_HOME": "", "HOME": "/home/ada"}, "/home/ada/.local/share/consilia"),
    ],
)
def test_the_data_folder_follows_the_environment(monkeypatch, environment, folder):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert data_folder() == Path(folder)


def test_a_set_that_needs_no_files_has_no_path():
    assert dataset_path("breast-cancer") is None
    assert dataset_path("heart-failure") is None


def test_the_path_of_a_set_is_given_once_all_its_files_are_there(monkeypatch, tmp_path):
    monkeypatch.setenv("CONSILIA_DATA", str(tmp_path))
    with pytest.raises(
        DataError, match=r"stroke is not on this machine: .* lacks IST\.rda\. .*consilia data get stroke"
    ):
        dataset_path("stroke")
    (tmp_path / "ist").mkdir()
    (tmp_path / "ist" / "IST.rda").touch()
    assert dataset_path("stroke") == tmp_path / "ist"


@pytest.mark.parametrize("ask", [sites, dataset_path])
def test_an_unknown_set_is_told_the_names(ask):
    with pytest.raises(DataError, match=r"No data set is called 'lungs'\. .*breast-cancer, heart-disease, stroke"):
        ask("lungs")


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_each_example_names_a_task_that_is_there_and_all_sites_of_its_data(file):
    spec = yaml.safe_load(file.read_text())["spec"]
    module, attribute = spec["task"]["entrypoint"].split(":")
    task = getattr(importlib.import_module(module), attribute)(spec["task"].get("parameters", {}))
    assert isinstance(task, Task)
    assert tuple(spec["hospitals"]["names"]) == sites(spec["dataset"])
    assert set(spec["evaluation"]["metrics"]) <= {"loss", *task.metrics}
