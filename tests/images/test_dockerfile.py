"""The Dockerfile's own rules, read from its text."""

import fnmatch
import importlib.util
import json
import re
import shlex

import pytest

from scripts.images.context import stage
from scripts.images.making import NAMES, ROOT

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
LINES = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE)).splitlines()
INSTRUCTIONS = [tuple(line.split(maxsplit=1)) for line in LINES if line.strip()]


def stages():
    """Name to its parent and its instructions."""
    found, current = {}, []
    for word, rest in INSTRUCTIONS:
        if word == "FROM":
            parent, _, name = rest.split()
            current = []
            found[name] = (parent, current)
        current.append((word, rest))
    return found


def lineage(name):
    """The instructions that make a stage, its ancestors' first."""
    parent, own = stages()[name]
    parent = parent.replace("${ACCELERATOR}", "cuda")
    return [*(lineage(parent) if parent in stages() else []), *own]


def copies():
    """What is copied from the context, by all stages."""
    for word, rest in INSTRUCTIONS:
        words = shlex.split(rest)
        if word == "COPY" and not words[0].startswith("--from"):
            yield from words[:-1]


@pytest.mark.parametrize("name", NAMES)
def test_an_image_runs_our_module_as_our_user(name):
    instructions = lineage(name)
    assert [rest for word, rest in instructions if word == "USER"] == ["10001:10001"]
    (entrypoint,) = [json.loads(rest) for word, rest in instructions if word == "ENTRYPOINT"]
    python, option, module = entrypoint
    assert (python, option) == ("python", "-m")
    assert importlib.util.find_spec(module)


@pytest.mark.parametrize("name", NAMES)
def test_our_own_files_are_the_last_layer(name):
    """So that a change of ours is all that a node has to fetch again."""
    layers = [rest for word, rest in lineage(name) if word in {"COPY", "RUN", "ADD"}]
    assert layers[-1].startswith("--from=project")
    assert not any("--from=project" in rest for rest in layers[:-1])


def test_an_image_is_made_from_nothing_that_builds():
    for name in NAMES:
        assert "tools" not in {rest.split()[0] for word, rest in lineage(name) if word == "FROM"}


def test_whatever_is_installed_is_checked_against_its_hash():
    installs = [line for word, line in INSTRUCTIONS if word == "RUN" and re.search(r"pip install", line)]
    installs += [(ROOT / "scripts/images/inside/install-locked").read_text(encoding="utf-8")]
    assert len(installs) >= 4
    assert [line for line in installs if "--require-hashes" not in line and "--no-index" not in line] == []


def test_every_stage_begins_with_the_chosen_base_or_another_stage():
    parents = [parent for parent, _ in stages().values()]
    assert {parent for parent in parents if parent not in stages()} == {"${BASE}", "torch-${ACCELERATOR}"}
    (default,) = re.findall(r"^ARG BASE=(\S+)$", TEXT, re.MULTILINE)
    assert re.fullmatch(r"docker\.io/library/python:3\.\d+-slim-\w+", default)


def test_nothing_of_the_network_becomes_part_of_an_image():
    """Arguments stay in an image's history; secrets do not."""
    names = {rest.partition("=")[0] for word, rest in INSTRUCTIONS if word == "ARG"}
    assert names == {"BASE", "ACCELERATOR", "TORCH_WHEEL", "SCRIPTS", "VERSION", "REVISION"}
    for line in (line for word, line in INSTRUCTIONS if word == "RUN" and re.search(r"networked|install-locked", line)):
        assert "--mount=type=secret,id=network --mount=type=secret,id=ca" in re.sub(r"\s+", " ", line)


def test_the_context_holds_what_is_copied_and_the_builders_rules_let_it_through(tmp_path):
    stage(ROOT, tmp_path)
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").split() if line[0] == "!"]
    for path in set(copies()) - {"."}:
        assert list(tmp_path.glob(path.rstrip("/"))), path
        assert [each for each in allowed if path.startswith(each) or fnmatch.fnmatch(path, each)], path
