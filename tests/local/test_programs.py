"""The processes by themselves, as an operator starts them: what they refuse, in words, before they do anything."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from worlds import make_job

from consilia.log.opening import sqlite_url
from consilia.wire.identity import Identity, Roster

SUPPORT = Path(__file__).parents[1] / "support"


def party(folder: Path, *, entrypoint: str = "drifting:Drifting", **changes: object) -> Path:
    """The settings of hospital a's trainer, all files in place."""
    names = ["a", "b"]
    keys = {name: Identity.generate(name) for name in ("aggregator", *names)}
    roster = Roster(keys["aggregator"].public(), {name: keys[name].public() for name in names})
    for name, key in keys.items():
        key.save(folder / f"{name}.pem")
    (folder / "roster.json").write_text(json.dumps(roster.as_json()))
    job = make_job(names, task={"entrypoint": entrypoint})
    (folder / "job.json").write_text(job.model_dump_json(by_alias=True, exclude_none=True))
    fields = {name: str(folder / f"{name}.json") for name in ("job", "roster")}
    log = sqlite_url(folder / "log")
    fields |= {"log": log, "key": str(folder / "a.pem"), "hospital": "a", "state": str(folder / "state")}
    path = folder / "settings.json"
    path.write_text(json.dumps({**fields, **changes}))
    return path


def start(program: str, settings: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT)}
    command = [sys.executable, "-m", "consilia_workers", program, str(settings)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "job.json").unlink(), "cannot use the job in"),
        (lambda folder: (folder / "job.json").write_text("{}"), "cannot use the job in"),
        (lambda folder: (folder / "roster.json").write_text("{"), "cannot use the roster in"),
        (lambda folder: (folder / "a.pem").unlink(), "cannot read the key of a"),
        (lambda folder: (folder / "a.pem").write_bytes((folder / "b.pem").read_bytes()), "key of a is not the one on"),
        (lambda folder: (folder / "settings.json").write_text("{}"), "cannot use the settings in"),
    ],
    ids=["no job", "no valid job", "no JSON", "no key", "another's key", "no settings"],
)
def test_what_is_wrong_at_the_start_is_said_in_words(tmp_path, damage, words):
    settings = party(tmp_path)
    damage(tmp_path)
    ended = start("trainer", settings)
    assert ended.returncode == 1
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_stranger_does_not_wait_for_ever_for_a_job_that_does_not_know_it(tmp_path):
    ended = start("trainer", party(tmp_path, hospital="c"))
    assert ended.returncode == 1
    assert "c is not on the job's roster: a, b." in ended.stderr


def test_an_unknown_log_level_is_refused(tmp_path):
    ended = start("trainer", party(tmp_path, log_level="LOUD"))
    assert ended.returncode == 1
    assert "log_level" in ended.stderr


@pytest.mark.parametrize(
    ("entrypoint", "words"),
    [
        ("drifting:Short", r"the initial model has 4 bytes, its layout"),
        ("quitting:Anything", "importing the task quitting:Anything failed: SystemExit"),
    ],
)
def test_an_initial_model_that_cannot_be_made_is_explained(tmp_path, entrypoint, words):
    settings = party(tmp_path, entrypoint=entrypoint)
    fields = json.loads(settings.read_text())
    own = {name: fields[name] for name in ("job", "roster", "log", "key")}
    settings.write_text(json.dumps({**own, "work": str(tmp_path / "work")}))
    ended = start("initial-model", settings)
    assert ended.returncode == 1
    assert words in ended.stderr
    assert not (tmp_path / "work" / "initial.safetensors").exists()


def test_threads_are_bounded_although_the_framework_is_loaded_later(tmp_path):
    fresh = "import os; from consilia_workers.trainer_program import limit_threads; limit_threads(1); import torch; "
    done = subprocess.run(
        [sys.executable, "-c", fresh + "print(torch.get_num_threads())"],
        env={name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "1\n"
