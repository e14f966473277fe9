"""How the repository is laid out: what a newcomer, a wheel and the standard library rely on."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "consilia": ROOT / "consilia",
    "consilia_operator": ROOT / "operator" / "consilia_operator",
    "consilia_workers": ROOT / "workers" / "consilia_workers",
}
FOLDERS = ("consilia", "operator", "workers", "tests", "benchmarks", "scripts", "examples")


@pytest.mark.parametrize("folder", ["operator", "workers", "tests"])
def test_the_source_roots_are_no_packages(folder):
    """An operator/__init__.py would shadow the standard library's operator for every python started in this folder."""
    assert not (ROOT / folder / "__init__.py").exists()


def test_python_started_here_gets_the_stdlib_operator():
    script = "import operator, sysconfig; print(operator.__file__); print(sysconfig.get_path('stdlib'))"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    module, library = map(Path, result.stdout.split("\n")[:2])
    assert module.parent.resolve() == library.resolve()


def test_test_folders_are_no_packages_and_test_files_have_names_of_their_own():
    files = sorted((ROOT / "tests").rglob("*.py"))
    assert not [path for path in files if path.name == "__init__.py"]
    names = [path.name for path in files if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))


def test_no_file_has_a_name_that_says_nothing():
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts]
    assert not [path for path in paths if path.stem in {"utils", "util", "helpers", "helper", "common", "misc"}]


def test_the_wheel_holds_the_three_packages_typed_and_nothing_else(tmp_path):
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == set(PACKAGES)
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    for package, folder in PACKAGES.items():
        paths = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        assert {f"{package}/{path.relative_to(folder).as_posix()}" for path in paths} <= set(names)


def direct_requirements():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]


def lock_entries(name="requirements.lock"):
    """Each locked requirement with the lines of its hashes."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return [entry.replace(" \\\n", "\n").split("\n    ") for entry in re.split(r"\n(?=\S)", text.strip())]


def test_every_dependency_has_a_lower_bound_and_no_other():
    """Upper bounds are guesses about the future; the lock says what was tested."""
    assert not [line for line in direct_requirements() if not re.fullmatch(r"[a-z0-9-]+>=[0-9.]+", line)]


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-uv.lock"])
def test_everything_locked_has_a_version_and_hashes_and_names_no_place(lock):
    for requirement, *hashes in lock_entries(lock):
        assert re.fullmatch(r"[a-z0-9-]+==[\w.+]+( ; [\w.<>=!' ()]+)?", requirement)
        assert hashes
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in hashes)


def test_every_dependency_is_locked():
    locked = {re.split("==", requirement)[0] for requirement, *_ in lock_entries()}
    assert {line.split(">=")[0] for line in direct_requirements()} <= locked


def test_the_installer_is_locked_alike_in_both_locks():
    assert lock_entries("requirements-uv.lock")[0] in lock_entries()


def decisions():
    return sorted((ROOT / "docs" / "decisions").glob("*.md"))


@pytest.mark.parametrize("page", decisions(), ids=lambda page: page.stem)
def test_a_decision_says_context_decision_consequences_and_alternatives(page):
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", page.name)
    headings = re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences", "Alternatives"]


def test_no_two_decisions_share_a_number():
    numbers = [page.name[:4] for page in decisions()]
    assert sorted(numbers) == sorted(set(numbers))


def mapped_files():
    """The files in CONTRIBUTING.md's map, by the headings of the packages; a folder stands for its `__init__.py`."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for folder, lines in re.findall(r"^### `([^`]+)/`\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL):
        yield Path(folder) / "__init__.py"
        for name in re.findall(r"^- `([^`]+)`: .+$", lines, re.MULTILINE):
            yield Path(folder) / name / "__init__.py" if name.endswith("/") else Path(folder) / name


def test_the_map_in_contributing_lists_every_module_once():
    modules = [path.relative_to(ROOT) for folder in PACKAGES.values() for path in folder.rglob("*.py")]
    mapped = list(mapped_files())
    missing = sorted(map(str, set(modules) - set(mapped)))
    stale = sorted(str(path) for path in set(mapped) if not (ROOT / path).exists())
    twice = sorted(str(path) for path in set(mapped) if mapped.count(path) > 1)
    assert (missing, stale, twice) == ([], [], []), "add a line to, or take one from, the map in CONTRIBUTING.md"
