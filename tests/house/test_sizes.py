"""The ratchet on the length of functions and files, run as `make check` runs it, on trees made for it."""

import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "sizes.py"


def function(lines, name="f", docstring=0):
    """Source of a function of so many lines, its docstring not counted."""
    words = ['    """Say so.'] + ["    Again."] * (docstring - 2) + ['    """'] if docstring else []
    return "\n".join([f"def {name}():", *words, *["    pass"] * (lines - 1)]) + "\n"


def sizes(root, **sources):
    for name, source in sources.items():
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "module.py").write_text(source, encoding="utf-8")
    return subprocess.run([sys.executable, SCRIPT, root], capture_output=True, text=True, check=False)


SHORT = "".join(function(5, name=f"short_{k}") for k in range(30))


@pytest.mark.parametrize(
    "source",
    [
        SHORT,
        SHORT + function(60),
        SHORT + function(60, docstring=100),
        SHORT + "async " + function(60),
        "import os\n" * 250 + SHORT,
    ],
)
def test_what_keeps_within_the_limits_passes(tmp_path, source):
    result = sizes(tmp_path, consilia=source)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        (SHORT + function(61, name="saga"), "consilia/module.py:151 saga: 61 lines, at most 60"),
        (SHORT + "async " + function(61, name="saga"), "consilia/module.py:151 saga: 61 lines"),
        (SHORT + "class Hero:\n" + indent(function(70), "    "), "module.py:152 f: 70 lines"),
        (SHORT + "import os\n" * 251, "consilia/module.py: 401 lines, at most 400"),
        (SHORT + "".join(function(31, name=f"f{k}") for k in range(4)), "one function in ten has 31 lines or more"),
        (function(10), "the median function has 10 lines, and should have fewer than 10"),
    ],
    ids=["long", "async", "method", "file", "p90", "median"],
)
def test_every_offender_is_named_with_the_way_out(tmp_path, source, complaint):
    result = sizes(tmp_path, consilia=source)
    assert result.returncode == 1
    assert complaint in result.stderr
    assert "name each step and move it into a function of its own" in result.stderr


@pytest.mark.parametrize("folder", ["consilia", "operator", "workers", "benchmarks", "scripts"])
def test_all_code_is_measured(tmp_path, folder):
    assert sizes(tmp_path, examples=SHORT, consilia=SHORT, **{f"{folder}/deep": function(61)}).returncode == 1


def test_of_tests_only_the_files_are_measured(tmp_path):
    assert sizes(tmp_path, consilia=SHORT, tests=function(90)).returncode == 0
    assert "tests/module.py: 401 lines" in sizes(tmp_path, tests="import os\n" * 401).stderr


def test_a_folder_without_code_is_no_success(tmp_path):
    result = sizes(tmp_path)
    assert result.returncode == 1
    assert "is it the repository's root?" in result.stderr


def test_this_repository_keeps_within_the_limits():
    result = sizes(SCRIPT.parents[1])
    assert result.returncode == 0, result.stderr
