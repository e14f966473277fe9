"""Everything that can be named has its place in the reference."""

import re
from typing import get_args

import pytest
import typer.main
from pages import ROOT, prose_of, table_under

from consilia import errors
from consilia.errors import ConsiliaError, Refusal
from consilia.kafka.settings import KafkaSettings
from consilia.wire import messages
from consilia_workers.cli.app import app
from consilia_workers.learner import Learner, LocalLearner
from consilia_workers.settings import AggregatorSettings, TrainerSettings
from consilia_workers.task import Task

REFERENCE = ROOT / "docs" / "reference"
CODE = [path for folder in ("consilia", "operator", "workers") for path in (ROOT / folder).rglob("*.py")]


def headings(name):
    return re.findall(r"^#+ (.+)$", prose_of(REFERENCE / name), re.MULTILINE)


def codes_in(name):
    """Everything in code type on a page."""
    return set(re.findall(r"`([^`]+)`", prose_of(REFERENCE / name)))


def all_errors(error=ConsiliaError):
    """All that a caller may catch: what begins with an underscore is a module's own, and so is what others add."""
    below = [
        each for child in error.__subclasses__() if child.__module__ == errors.__name__ for each in all_errors(child)
    ]
    return below if error.__name__.startswith("_") else [error, *below]


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.__name__)
def test_every_error_has_a_heading_and_a_place_in_the_tree(error):
    assert error.__name__ in headings("errors.md")
    assert error.__name__ in (errors.__doc__ or "")


def test_every_refusal_has_a_row_with_its_meaning():
    rows = {reason.strip("`"): meaning for reason, meaning in table_under(REFERENCE / "errors.md", "Refusals")}
    assert rows.keys() == set(Refusal)
    assert all(rows.values())


def test_the_wire_format_says_when_each_refusal_comes():
    checks = table_under(ROOT / "docs" / "concepts" / "wire-format.md", "What is checked, in this order")
    named = {reason for row in checks for reason in re.findall(r"`(\w+)`", row[1])}
    assert named == set(Refusal) - {Refusal.NOT_ON_ROSTER}, "nobody who is not on the roster has a topic that is read"


PARTS = (messages.Payload, messages.CountedUpdate, messages.RefusedUpdate)
MESSAGES = (*get_args(messages.FromHospital), *get_args(messages.FromAggregator), *PARTS)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
def test_every_field_of_every_message_has_a_row_with_its_meaning(message):
    rows = {row[0].strip("`"): row[-1] for row in table_under(REFERENCE / "messages.md", message.__name__)}
    assert list(rows) == [field.alias for field in message.model_fields.values()]
    assert all(rows.values())


def test_every_setting_has_a_row():
    assert AggregatorSettings.model_fields.keys() | TrainerSettings.model_fields.keys() <= codes_in("settings.md")


def test_every_kafka_setting_has_a_row():
    aliases = {field.alias for field in KafkaSettings.model_fields.values()}
    assert aliases <= codes_in("kafka-settings.md")


def test_every_environment_variable_that_is_read_is_listed():
    text = "".join(path.read_text(encoding="utf-8") for path in CODE)
    read = set(re.findall(r"os\.(?:environ\.get\(|environ\[|getenv\()\"([A-Z_]+)\"\)?(?!\] =)", text))
    assert "CONSILIA_DATA" in read
    listed = {row[0].strip("`") for row in table_under(REFERENCE / "settings.md", "Environment variables")}
    assert read <= listed


def commands(path="consilia", command=None):
    command = command or typer.main.get_command(app)
    inner = getattr(command, "commands", {})
    return [(path, command), *(found for name in inner for found in commands(f"{path} {name}", inner[name]))]


@pytest.mark.parametrize(("path", "command"), commands(), ids=[path for path, _ in commands()])
def test_every_command_has_a_heading_and_every_option_a_row(path, command):
    assert path in headings("cli.md")
    names = {name for each in command.params for name in (*each.opts, *each.secondary_opts) if name.startswith("-")}
    section = prose_of(REFERENCE / "cli.md").split(f"## {path}\n")[1].split("\n## ")[0]
    assert names - {"--help"} <= set(re.findall(r"`([^`]+)`", section))


@pytest.mark.parametrize("kind", [Task, LocalLearner, Learner])
def test_every_method_that_an_author_meets_has_a_heading(kind):
    methods = {f"{kind.__name__}.{name}" for name, found in vars(kind).items() if callable(found) and name[0] != "_"}
    assert methods <= set(headings("python.md"))
