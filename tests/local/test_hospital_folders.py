"""`--data`: a folder that holds one for each hospital, or one that they share."""

from pathlib import Path

import pytest
import yaml

from consilia.errors import DataError
from consilia_workers.local.plan import make_plan

HOSPITALS = ["harbour", "meadow"]


def paths(folder: Path) -> dict[str, Path | None]:
    job = {
        "apiVersion": "consilia.dev/v1alpha1",
        "kind": "FederatedJob",
        "metadata": {"name": "job"},
        "spec": {
            "task": {"entrypoint": "some:Task"},
            "dataset": "stays",
            "hospitals": {"names": HOSPITALS},
            "rounds": {"count": 1},
        },
    }
    file = folder / "job.yaml"
    file.write_text(yaml.safe_dump(job))
    plan = make_plan(file, data=folder / "data", seeds=1, baselines=False)
    return {site.hospital: site.path for site in plan.sites}


def test_each_hospital_gets_the_folder_of_its_name(tmp_path):
    for name in HOSPITALS:
        (tmp_path / "data" / name).mkdir(parents=True)
    assert paths(tmp_path) == {name: tmp_path / "data" / name for name in HOSPITALS}


def test_a_folder_without_any_of_their_names_is_everybodys(tmp_path):
    (tmp_path / "data" / "archive").mkdir(parents=True)
    assert paths(tmp_path) == dict.fromkeys(HOSPITALS, tmp_path / "data")


def test_a_file_is_everybodys(tmp_path):
    (tmp_path / "data").write_text("age,days\n")
    assert paths(tmp_path) == dict.fromkeys(HOSPITALS, tmp_path / "data")


def test_a_hospital_without_a_folder_never_gets_the_others_data(tmp_path):
    (tmp_path / "data" / "harbour").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no folder for meadow, but has for others\. Make .*data/meadow"):
        paths(tmp_path)


def test_a_place_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        paths(tmp_path)
