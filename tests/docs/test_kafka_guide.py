"""The guide to a Kafka of one's own: its commands typed against a real broker, its table compared with the rules."""

import re
from pathlib import Path

import pytest
from pages import ROOT, blocks_of, steps_of, table_under
from walking import take

from consilia.kafka.acls import AclRule, Kind, Parties, rules
from consilia.kafka.settings import KafkaSettings

GUIDE = ROOT / "docs" / "guides" / "kafka.md"


@pytest.fixture
def folder(tmp_path, kafka_settings):
    """Where the reader types: the examples and an administrator's settings are there."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    kafka_settings.save(tmp_path / "admin.json")
    return tmp_path


@pytest.mark.slow
def test_the_guides_commands_print_what_it_says(folder, kafka_user):
    steps = [step for block in blocks_of(GUIDE) if block.language == "console" for step in steps_of(block)]
    assert len(steps) == 6
    listener = kafka_user("somebody-else")
    for step in steps:
        if "check" in step.command:
            _save(folder, listener)
        take(step, folder, GUIDE.name)


def _save(folder: Path, listener: KafkaSettings) -> None:
    """As the guide has it, with the address of this broker and its authority."""
    (shown,) = (block for block in blocks_of(GUIDE) if block.title == "riverside.json")
    settings = KafkaSettings.model_validate_json(shown.text)
    own = {"bootstrap_servers": listener.bootstrap_servers, "ca": listener.ca}
    found = settings.model_copy(update={**own, "password": Path("passwords") / str(settings.password)})
    found.save(folder / "riverside.json")


def test_the_guides_table_is_what_the_rules_say():
    parties = Parties(aggregator="User:aggregator", hospitals={"hospital": "User:hospital"}, watchers=("User:watcher",))
    made = rules("job", parties)
    shown = {_plain(row[0]): row[1:] for row in table_under(GUIDE, "Allow what is needed")}
    for thing, cells in shown.items():
        for principal, cell in zip(("User:hospital", "User:aggregator", "User:watcher"), cells, strict=True):
            operations = [rule.operation for rule in made if rule.principal == principal and _named(rule) == thing]
            assert sorted(re.findall(r"[A-Z]\w+", cell)) == sorted(operations), (thing, principal)
    assert {_named(rule) for rule in made} == set(shown) - {"the cluster"}


def _plain(cell: str) -> str:
    return cell.partition(",")[0].replace("`", "").replace("<", "").replace(">", "").replace("ids ", "id ")


def _named(rule: AclRule) -> str:
    """As in the table's first column: a hospital's prefix stands for its topic of a job."""
    name = rule.resource.name
    match rule.resource.kind:
        case Kind.TOPIC:
            return "consilia.up.hospital.job" if name == "consilia.up.hospital." else name
        case Kind.GROUP:
            return f"group {name}"
        case _:
            return f"transactional id {name}{'*' if name.endswith('.') else ''}"
