"""`python -m benchmarks.rounds`, on either log, alone and beside made-up peers."""

import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import psutil
import pytest

from benchmarks.logs import Place
from benchmarks.peers import MODELS, PeerMeasurement, figures, find_peers
from benchmarks.repeats import together
from benchmarks.rounds import Measurement
from consilia.errors import RunError
from consilia.log.opening import open_log

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
def log_on_session_broker(kafka_broker):
    with closing(open_log(f"kafka://{kafka_broker.bootstrap}")) as log:
        yield log


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
    (ours,) = json.loads(line)["ours"]
    assert ours.keys() == {field.name for field in fields(Measurement)}
    assert (ours["rounds"], ours["hospitals"], ours["model"], ours["log"]) == (2, 1, "small", "sqlite")
    assert 0 < ours["wall_seconds_per_round"] <= ours["wall_seconds_worst"]
    assert ours["cpu_seconds_per_round"] > 0
    assert ours["cpu_seconds_per_round_with_broker"] == ours["cpu_seconds_per_round"]
    assert ours["aggregator_peak_mib"] > 10
    assert ours["start_seconds"] > 0


def test_rounds_over_a_given_cluster_leave_no_topic_there(kafka_broker, log_on_session_broker):
    before = log_on_session_broker.topics()
    done = rounds("--log", "kafka", "--kafka", kafka_broker.bootstrap, "--rounds", 3, "--warm-up", 0, "--json")
    (ours,) = json.loads(done.stdout)["ours"]
    assert (ours["rounds"], ours["hospitals"], ours["log"]) == (3, 3, "kafka")
    assert 0 < ours["wall_seconds_per_round"] <= ours["wall_seconds_worst"]
    assert ours["cpu_seconds_per_round_with_broker"] is None  # the broker is somebody else's
    noise = [topic for topic in log_on_session_broker.topics() if "noise-small" in topic]
    assert not set(noise) - set(before)


@pytest.mark.slow
def test_a_broker_of_the_benchmarks_own_is_measured_apart(kafka_runtime):
    done = rounds("--log", "kafka", "sqlite", "--rounds", 2, "--hospitals", 1, "--warm-up", 1, "--json")
    kafka, sqlite = json.loads(done.stdout)["ours"]
    assert (kafka["log"], sqlite["log"]) == ("kafka", "sqlite")
    whole = kafka["cpu_seconds_per_round"] + kafka["broker_cpu_seconds_per_round"]
    assert kafka["cpu_seconds_per_round_with_broker"] == pytest.approx(whole, abs=0.001)
    assert kafka["broker_cpu_seconds_per_round"] > 0
    assert kafka["broker_peak_mib"] > 100
    assert (sqlite["broker_cpu_seconds_per_round"], sqlite["broker_peak_mib"]) == (0, 0)


def test_peers_run_in_turn_and_their_figures_stand_beside_ours(peers):
    done = rounds("--rounds", 12, "--hospitals", 1, "--repeats", 2, "--peers", peers, "--json", PEERS_HOME=str(peers))
    said = json.loads(done.stdout)
    assert [line.rpartition(": ")[2] for line in done.stderr.splitlines()] == 2 * [
        "Consilia on SQLite",
        "nvflare",
        "flower",
    ]
    assert [peer["peer"] for peer in said["peers"]] == ["nvflare", "flower"]
    (ours,), times = said["ours"], said["peers"][1]["times_ours"]
    assert times["wall_seconds_mean"] == pytest.approx(5.0 / ours["wall_seconds_mean"], rel=0.01)
    assert times["cpu_seconds_per_round"] == pytest.approx(3.5 / ours["cpu_seconds_per_round_with_broker"], rel=0.01)
    assert (peers / "nvflare" / "run.sh.arguments").read_text().split() == ["small", "10", "1"]
    assert (peers / "flower" / "run.sh.arguments").read_text().split() == ["small", "10", "1", "venv-flwr-grpc"]


def test_a_broker_that_has_died_is_noticed():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        place = Place("kafka://127.0.0.1:1", psutil.Process(process.pid))
        place.check()
    with pytest.raises(RunError, match="the broker has died"):
        place.check()


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
        (("--warm-up", "-1"), "'-1' is no whole number from 0 on"),
        (("--model", "tiny"), "invalid choice: 'tiny'"),
        (("--log", "paper"), "invalid choice: 'paper'"),
        (("--log", "kafka", "--kafka", "nowhere"), "error: 'kafka://nowhere' names no brokers"),
        (("--log", "kafka", "--kafka", "127.0.0.1:1"), "127.0.0.1:1"),
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
