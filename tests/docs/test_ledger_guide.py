"""The guide for privacy officers: its commands typed on a ledger, its script and its table held to the code."""

import re
import shutil
import subprocess
import sys

import pytest
from ledgers import HOSPITAL, account_of, budget, content, open_ledger, plan, reserve
from pages import ROOT, blocks_of, table_under, text_of
from walking import walk

from consilia.ledger.reading import head_text
from consilia.wire.identity import Identity
from consilia_workers.cli.ledger_export import COLUMNS

GUIDE = ROOT / "docs" / "guides" / "ledger.md"


def release(ledger, account, number):
    ledger.commit(reserve(ledger, account, "heart-risk", number).reservation, "sha256:" + "1" * 64)


@pytest.fixture
def folder(tmp_path):
    """Where the officer types: riverside's ledger and keys, a head that others have seen, and a copy from before it."""
    ledger = open_ledger(tmp_path / HOSPITAL)
    account = account_of(ledger)
    ledger.set_budget(ledger.register("stroke", content("stroke"), "Patient"), budget("1", epsilon_per_job="0.5"))
    ledger.admit(account, "heart-risk", plan(5))
    release(ledger, account, 1)
    release(ledger, account, 2)
    shutil.copytree(ledger.folder, tmp_path / "backup")
    release(ledger, account, 3)
    reserve(ledger, account, "heart-risk", 3)
    (tmp_path / "seen.head").write_text(head_text(ledger.head()))
    public = Identity.load(HOSPITAL, tmp_path / f"{HOSPITAL}.pem").public()
    (tmp_path / f"{HOSPITAL}.public.pem").write_text(public.text())
    return tmp_path


@pytest.mark.slow
def test_the_guides_commands_print_what_it_says(folder):
    assert len(walk(GUIDE, folder)) == 10


def verified(folder):
    """What the guide's script says of the ledger."""
    (script,) = (block.text for block in blocks_of(GUIDE) if block.title == "verify_ledger.py")
    arguments = [folder / HOSPITAL / "ledger.jsonl", folder / f"{HOSPITAL}.public.pem"]
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_guides_script_finds_the_head_without_consilia(folder):
    found = verified(folder)
    assert (found.returncode, found.stdout.strip()) == (0, (folder / "seen.head").read_text())
    (script,) = (block.text for block in blocks_of(GUIDE) if block.title == "verify_ledger.py")
    assert not re.search(r"import.*consilia", script)


@pytest.mark.parametrize(
    ("change", "entry"),
    [
        (lambda all_: [*all_[:3], all_[3].replace(b'"epsilon":"3"', b'"epsilon":"9"'), *all_[4:]], 4),
        (lambda all_: all_[:5] + all_[6:], 6),
        (lambda all_: [*all_[:6], all_[7], all_[6], *all_[8:]], 7),
        (lambda all_: [*all_[:2], b"rubbish\n", *all_[3:]], 3),
        (lambda all_: all_[1:], 1),
        (lambda all_: [*all_[:2], all_[2].replace(b",", b", ", 1), *all_[3:]], 3),
    ],
    ids=["edited", "removed", "swapped", "rubbish", "beheaded", "reformatted"],
)
def test_the_guides_script_names_the_entry_that_was_changed(folder, change, entry):
    file = folder / HOSPITAL / "ledger.jsonl"
    file.write_bytes(b"".join(change(file.read_bytes().splitlines(keepends=True))))
    found = verified(folder)
    assert found.returncode == 1
    assert found.stderr.startswith(f"entry {entry} is wrong")


def test_the_guides_script_believes_the_given_key_only(folder):
    (folder / f"{HOSPITAL}.public.pem").write_text(Identity.generate(HOSPITAL).public().text())
    assert verified(folder).stderr.startswith("entry 1 is wrong: InvalidSignature")


def test_the_guides_table_has_every_column_of_an_export():
    named = [name for row in table_under(GUIDE, "Show it to an auditor") for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(COLUMNS)


def test_every_message_that_the_guide_explains_is_one_of_the_ledgers():
    code = "".join(path.read_text() for path in (ROOT / "consilia" / "ledger").glob("*.py"))
    plain = re.sub(r"\"\s*\n\s*f?\"|\{[^}]*\}", "…", code).replace("… …", "…")
    for row in table_under(GUIDE, "When it is reported Tampered"):
        for message in re.findall(r"`([^`]+)`", row[0]):
            for part in message.split("…"):
                assert part.strip() in plain, message


def test_the_guide_names_every_command():
    commands = ("show", "verify", "forecast", "export", "accept-gap")
    assert all(f"consilia ledger {command}" in text_of(GUIDE) for command in commands)
