"""No page names an option, a command, a field, a file or a target that does not exist."""

import ast
import re

import pytest
import typer.main
import yaml
from pages import ROOT, all_pages, blocks_of, name_of, prose_of, text_of

from consilia.api import RESOURCES, FederatedJob
from consilia.api.schema import resource_schema
from consilia.manifest.checking import check_text
from consilia_workers.cli.app import app

PAGES = [page for page in all_pages() if page.name != "CHANGELOG.md"]
each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def code_of(page):
    """What a page shows in code type: spans, and blocks line by line."""
    text = text_of(page)
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)
    return [*spans, *(line for block in blocks_of(page) for line in block.text.splitlines())]


def options_of(command):
    own = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    return own.union(*(options_of(inner) for inner in getattr(command, "commands", {}).values()))


KUBERNETES = {
    "--all", "--clusterrole", "--for", "--from-file", "--patch-file", "--server-side", "--set", "--take-ownership",
    "--wait",
}  # fmt: skip
"""Options of kubectl and helm that pages name."""


def known_options():
    """Of the command line, the benchmarks, the scripts and the broker; and of tools that pages mention."""
    folders = ("benchmarks", "scripts", "consilia/broker", "tests/cluster")
    scripts = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    theirs = {found for path in scripts for found in re.findall(r"\"(--[a-z-]+)\"", path.read_text(encoding="utf-8"))}
    return options_of(typer.main.get_command(app)) | theirs | KUBERNETES | {"--help", "--strict"}


@each_page
def test_every_option_exists(page):
    used = {option for code in code_of(page) for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", code)}
    assert used - known_options() == set()


@each_page
def test_every_command_exists(page):
    used = {word for code in code_of(page) for word in re.findall(r"(?:^|\$ |bin/)consilia ([a-z][a-z-]*)", code)}
    assert used <= set(typer.main.get_command(app).commands)


@each_page
def test_every_make_target_exists(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    used = {word for code in code_of(page) for word in re.findall(r"(?:^|\$ )make (?:\w+=\S+ )?([a-z]+)", code)}
    assert used <= targets


def paths_in(schema, at=""):
    """The dotted paths of all fields of a schema."""
    below = schema.get("items", schema)
    yield at
    for name, child in below.get("properties", {}).items():
        yield from paths_in(child, f"{at}.{name}".strip("."))


FIELDS = {path for resource in RESOURCES for path in paths_in(resource_schema(resource))}
SECTIONS = {path.split(".")[1] for path in paths_in(resource_schema(FederatedJob)) if path.startswith("spec.")}
"""A path that begins with one of these means the job's, such as `rounds.count`."""
FREE = ("spec.task.parameters.", "status.")
"""Below these anything may stand, or nothing is shown yet."""


@each_page
def test_every_field_exists(page):
    used = set()
    for code in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text_of(page)):
        used |= set(re.findall(r"^(spec(?:\.[a-zA-Z0-9]+)+)", code))
        if found := re.match(r"([a-zA-Z]+)((?:\.[a-zA-Z0-9]+)+)(?::|$)", code):
            used |= {f"spec.{found[1]}{found[2]}"} if found[1] in SECTIONS and found[2] != ".py" else set()
    assert {path for path in used if path not in FIELDS and not path.startswith(FREE)} == set()


MUST_NOT_BE_THERE = {"operator/__init__.py"}
FOLDERS = "consilia|operator|workers|tests|examples|docs|benchmarks|scripts|crds"


@each_page
def test_every_file_exists(page):
    used = {code for code in code_of(page) if re.fullmatch(rf"(?:{FOLDERS})/[\w./-]*", code)}
    assert [path for path in used - MUST_NOT_BE_THERE if not (ROOT / path).exists()] == []


@each_page
def test_every_yaml_block_is_valid(page):
    for block in blocks_of(page):
        if block.language == "yaml":
            where = f"{name_of(page)}:{block.line}"
            assert list(yaml.safe_load_all(block.text)), where
            if "apiVersion: consilia.dev/" in block.text:
                problems = check_text(block.text, "Cluster").problems
                assert [problem for problem in problems if "not supported yet" not in problem.rule] == [], where


@each_page
def test_the_reader_is_told_the_name_of_every_file_to_save(page):
    """The title of a block is not shown everywhere."""
    titles = [block.title for block in blocks_of(page) if block.title]
    assert [title for title in titles if f"`{title}`" not in prose_of(page)] == []


@each_page
def test_every_python_block_can_be_read(page):
    for block in blocks_of(page):
        if block.language == "python" and page.name != "python.md":
            ast.parse(block.text, filename=f"{name_of(page)}:{block.line}")
