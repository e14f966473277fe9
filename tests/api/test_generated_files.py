import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from consilia.api.crd import DEFINITIONS, custom_resource_definition
from consilia.manifest.yaml_document import read_documents

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "scripts/generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copied(generate, tmp_path):
    """The generated files, to be damaged."""
    for path, _ in generate.GENERATED:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    return tmp_path


def test_the_generated_files_are_what_the_types_say(generate):
    assert generate.differing(ROOT) == []


def test_a_file_that_differs_is_named(generate, copied):
    path = copied / "crds/hospitals.consilia.dev.yaml"
    path.write_text(path.read_text().replace("hosp", "hos"))
    assert generate.differing(copied) == ["crds/hospitals.consilia.dev.yaml"]


def test_a_file_that_is_missing_is_named(generate, copied):
    (copied / "docs/reference/dataset.md").unlink()
    assert generate.differing(copied) == ["docs/reference/dataset.md"]


def test_checking_passes_from_any_folder(tmp_path):
    command = [sys.executable, ROOT / "scripts/generate.py", "--check"]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.plural)
def test_a_crd_file_says_to_kubectl_what_the_types_say(definition):
    (read,) = read_documents((ROOT / f"crds/{definition.name}.yaml").read_text())
    assert read.value == custom_resource_definition(definition)
