"""The commands of the other pages, run as they are printed; what downloads or takes minutes is left out."""

import re
import subprocess

import pytest
from pages import ROOT, blocks_of, text_of
from walking import walk

GUIDES = ROOT / "docs" / "guides"
QUICK = r"^(\. )?(?!.*(data get|heart|stroke|\.venv|make ))"


@pytest.fixture
def checkout(tmp_path):
    """A folder in which the commands can be typed as in the repository's root."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(("guide", "commands"), [("get-started.md", 1), ("run-a-job.md", 3)])
def test_a_guides_commands_print_what_it_says(checkout, guide, commands):
    assert len(walk(GUIDES / guide, checkout, commands=QUICK)) == commands


def test_the_demo_is_the_command_that_the_guide_runs():
    recipe = subprocess.run(
        ["make", "--no-print-directory", "-n", "demo"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    command = re.search(r"consilia run \S+", recipe)
    assert command
    assert f"$ {command[0]}\n" in text_of(GUIDES / "get-started.md")


def test_the_readme_shows_the_result_that_the_guide_gets():
    guide = text_of(GUIDES / "get-started.md")
    (shown,) = [block.text for block in blocks_of(ROOT / "README.md") if "federated" in block.text]
    assert shown in guide
