"""`python -m benchmarks.rounds`, alone and beside made-up peers."""

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from benchmarks.peers import MODELS, PeerMeasurement, figures, find_peers
from benchmarks.repeats import together
from benchmarks.rounds import Measurement
from consilia.errors import RunError

ROOT = Path(__file__).parents[2]
SAID = {
    "peer": "flower", "version": "1.29.0", "transport": "grpc", "ok": True, "rounds_done": 2,
    "round_s_median": 6.0, "round_s_mean": 5.0, "round_s_max": 7.0, "cpu_s_per_round_all": 3.5, "startup_s": 4.8,
    "rss_mb_server_biggest_process": 104.8576, "rss_mb_client_peak": 209.7152, "other_cpu_cores": 0.1,
}  # fmt: skip


def rounds(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.rounds", *map(str, arguments)],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture
def peers(tmp_path):
    """A folder with two scripts that print what a test puts into `said`, and environments beside them."""
    for name in ("nvflare", "flower"):
        script = tmp_path / name / "run.sh"
        script.parent.mkdir()
        script.write_text('#!/bin/sh\necho "$@" > "$0.arguments"\ncat "$(dirname "$0")/said"\n')
        script.chmod(0o755)
        (tmp_path / name / "said").write_text(json.dumps({**SAID, "peer": name}))
    for name in ("venv-nvf", "venv-flwr", "venv-flwr-grpc"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin" / "python").touch()
    return tmp_path


def test_one_json_line_holds_every_documented_figure():
    done = rounds("--rounds", 2, "--hospitals", 1, "--json")
    (line,) = done.stdout.splitlines()
    said = json.loads(line)
    assert said.keys() == {field.name for field in fields(Measurement)} | {"repeats"}
    assert (said["rounds"], said["hospitals"], said["model"], said["log"]) == (2, 1, "small", "sqlite")
    assert 0 < said["wall_seconds_per_round"] <= said["wall_seconds_worst"]
    assert said["cpu_seconds_per_round"] > 0
    assert said["aggregator_peak_mib"] > 10
    assert said["start_seconds"] > 0


def test_peers_run_in_turn_and_their_figures_stand_beside_ours(peers):
    done = rounds("--rounds", 12, "--hospitals", 1, "--repeats", 2, "--peers", peers, "--json", PEERS_HOME=str(peers))
    said = json.loads(done.stdout)
    assert [line.rpartition(" ")[2] for line in done.stderr.splitlines()] == 2 * ["Consilia", "nvflare", "flower"]
    assert [peer["peer"] for peer in said["peers"]] == ["nvflare", "flower"]
    times = said["peers"][1]["times_ours"]
    assert times["wall_seconds_mean"] == pytest.approx(5.0 / said["wall_seconds_mean"], rel=0.01)
    assert (peers / "nvflare" / "run.sh.arguments").read_text().split() == ["small", "10", "1"]
    assert (peers / "flower" / "run.sh.arguments").read_text().split() == ["small", "10", "1", "venv-flwr-grpc"]


def test_a_peers_megabytes_become_mebibytes():
    measured = figures(SAID)
    assert (measured.aggregator_peak_mib, measured.hospital_peak_mib) == (100.0, 200.0)
    assert isinstance(measured, PeerMeasurement)


def test_repeats_give_medians_and_the_worst_of_the_worst():
    runs = [figures({**SAID, "round_s_median": wall, "round_s_max": 2 * wall}) for wall in (9.0, 1.0, 2.0)]
    assert together(runs).wall_seconds_per_round == 2.0
    assert together(runs).wall_seconds_worst == 18.0


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        ("", "printed no figures"),
        ("no JSON", "printed no figures"),
        ("[]", "printed no figures"),
        (json.dumps({"ok": True}), "KeyError('peer')"),
        (json.dumps({**SAID, "round_s_mean": "soon"}), "'soon'"),
        (json.dumps({**SAID, "ok": False}), "did not finish its rounds"),
    ],
)
def test_a_peer_that_prints_rubbish_is_an_error_that_names_it(peers, printed, words):
    (peers / "flower" / "said").write_text(printed)
    flower = find_peers(peers, str(peers))[1]
    with pytest.raises(RunError, match="flower") as error:
        flower.measure("small", 1, 1)
    assert words in error.value.message


def test_missing_scripts_and_environments_are_all_named(peers):
    with pytest.raises(RunError, match=r"PEERS_HOME is not set"):
        find_peers(peers, None)
    with pytest.raises(RunError, match=r"lacks .*venv-nvf, .*venv-flwr, .*venv-flwr-grpc"):
        find_peers(peers, str(peers / "elsewhere"))
    (peers / "nvflare" / "run.sh").chmod(0o600)
    (peers / "flower" / "run.sh").unlink()
    with pytest.raises(RunError, match=r"nvflare/run.sh and .*flower/run.sh"):
        find_peers(peers, str(peers))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--rounds", "0"), "'0' is no whole number from 1 on"),
        (("--hospitals", "-1"), "'-1' is no whole number from 1 on"),
        (("--model", "tiny"), "invalid choice: 'tiny'"),
        (("--model", "huge", "--peers", "x"), "know no model called huge"),
        (("--peers", "x"), "error: --peers x lacks x/nvflare/run.sh and x/flower/run.sh"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_words(arguments, words):
    done = rounds(*arguments)
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_peers_know_small_and_large():
    assert MODELS == ("small", "large")
