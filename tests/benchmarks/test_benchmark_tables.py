"""The docs show what benchmarks/results.json holds, and nothing of the machine that it came from but its kind."""

import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest

from benchmarks import headline, results, tables, targets
from benchmarks.__main__ import docs_page, parse
from benchmarks.catalog import ALL
from benchmarks.results import Result
from consilia.errors import RunError

ROOT = Path(__file__).parents[2]
QUALITY = {
    "metrics": {"auc": {"alone": {"mean": 0.7, "sd": 0.012}, "federated": {"mean": 0.81, "sd": None}}},
    "by_hospital": {"uk": {"alone": {"mean": 0.6, "sd": None}}},
}


def result(**changes):
    fields = {"command": "python -m x", "date": "2026-01-01", "consilia": "0.1.0", "machine": "m", "measured": {}}
    return Result(**fields | changes)


def test_the_docs_show_the_kept_results():
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert tables.fill(text, docs_page(results.load())) == text, "run `python -m benchmarks --tables`"


def test_the_readme_shows_the_kept_results():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"<!-- {headline.PLACE}:begin -->" in text
    assert tables.fill(text, headline.readme_page(results.load())) == text, "run `python -m benchmarks --tables`"


def test_the_kept_results_name_no_folder_and_no_machine():
    text = results.FILE.read_text(encoding="utf-8")
    assert not re.findall(r"(?<![\w.])/\w+/|~/|localhost|\\\\", text)


def test_every_benchmark_is_a_module_and_has_its_place_in_the_docs():
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert tables.SECTIONS.keys() == {benchmark.name for benchmark in ALL}
    for benchmark in ALL:
        assert importlib.util.find_spec(benchmark.module)
        assert f"<!-- benchmarks:{benchmark.name}:begin -->" in text


def test_the_kept_commands_are_those_of_the_catalog():
    possible = {b.name: {b.command(peers=True), b.command(peers=False)} for b in ALL}
    assert all(kept.command in possible[name] for name, kept in results.load().items())


def test_folders_are_passed_on_and_never_shown():
    small, stroke = ALL[0], next(benchmark for benchmark in ALL if benchmark.name == "stroke")
    assert shlex.join(small.arguments(Path("/p"), Path("/w"))).endswith("--repeats 3 --peers /p --json")
    assert shlex.join(stroke.arguments(Path("/p"), Path("/w"))).endswith("--repeats 3 --work /w/stroke --json")
    assert small.command(peers=True).endswith("--peers DIR")
    assert "--peers" not in stroke.command(peers=True)


def test_text_around_the_marked_place_stays():
    text = "before\n<!-- a:begin -->\nold\n<!-- a:end -->\nafter\n"
    assert tables.fill(text, {"a": "new \\1"}) == "before\n<!-- a:begin -->\nnew \\1\n<!-- a:end -->\nafter\n"


@pytest.mark.parametrize("text", ["", "<!-- a:begin -->\n", 2 * "<!-- a:begin -->\n<!-- a:end -->\n"])
def test_a_place_that_is_missing_open_or_double_is_an_error(text):
    with pytest.raises(RunError, match="<!-- a:begin -->"):
        tables.fill(text, {"a": "new"})


def test_a_benchmark_without_results_says_so():
    assert tables.docs_page({})["benchmarks:small"] == "Not measured yet."


def test_command_and_day_stand_over_the_table():
    shown = tables.section(result(measured=QUALITY), tables.quality_table)
    assert shown.splitlines() == [
        "`python -m x`, 2026-01-01:",
        "",
        "| mean over the hospitals, then each | alone | federated | pooled |",
        "| --- | --- | --- | --- |",
        "| auc | 0.700 ± 0.012 | 0.810 |  |",
        "| uk, auc | 0.600 |  |  |",
    ]


def test_machines_are_named_apart_where_results_come_from_several():
    assert tables.machine({"small": result(), "large": result()}) == "All figures: m; Consilia 0.1.0."
    apart = tables.machine({"small": result(), "large": result(machine="n")})
    assert apart == "- small: m; Consilia 0.1.0\n- large: n; Consilia 0.1.0"


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.01634, "0.0163"), (1.0, "1.00"), (12.34, "12.3"), (1419.6, "1,420"), (30, "30"), (0.0, "0.00")],
)
def test_numbers_have_three_digits_that_count(value, words):
    assert tables.number(value) == words


def test_results_survive_the_file(tmp_path):
    kept = {"small": Result.now("python -m x", {"wall": 0.5, "peers": [{"peer": "flower"}]})}
    results.save(kept, tmp_path / "results.json")
    assert results.load(tmp_path / "results.json") == kept
    assert json.loads((tmp_path / "results.json").read_text()).keys() == {"small"}
    assert results.load(tmp_path / "absent.json") == {}


ROUND = dict.fromkeys(tables.ROUND_ROWS, 0.5) | {"cpu_seconds_per_round": 0.25}
PEER = {
    "peer": "flower", "version": "1", "transport": "grpc", "rounds": 2, "start_seconds": 5.0, "other_cpu_cores": 0.1,
    "wall_seconds_per_round": 6.0, "wall_seconds_mean": 6.0, "wall_seconds_worst": 7.0, "cpu_seconds_per_round": 3.0,
    "aggregator_peak_mib": 100.0, "hospital_peak_mib": 200.0, "times_ours": {"cpu_seconds_per_round": 6.0},
}  # fmt: skip
BOTH = {"ours": [ROUND | {"log": "kafka"}, ROUND | {"log": "sqlite", "broker_peak_mib": None}], "peers": [PEER]}


def row(table, words):
    (found,) = [line for line in table.splitlines() if line.startswith(f"| {words} |")]
    return [cell.strip() for cell in found.strip("|").split("|")][1:]


def test_both_logs_and_the_peers_stand_beside_each_other():
    table = tables.rounds_table(BOTH)
    assert row(table, "") == ["Consilia over Kafka", "Consilia on SQLite", "Flower 1 (grpc)"]
    assert row(table, "CPU of all processes, s a round") == ["0.500", "0.500", "3.00 (6.00 times ours)"]
    assert row(table, "broker, peak MiB") == ["0.500", "not measured", ""]
    assert row(table, "disk, peak MiB") == ["0.500", "0.500", "not measured"]


def test_the_headline_has_a_column_for_each_log_and_peer():
    page = headline.costs({"small": result(measured=BOTH)})
    assert row(page, "3 hospitals, no training") == ["Consilia over Kafka", "Consilia on SQLite", "Flower 1"]
    assert row(page, "the same: CPU, s") == ["**0.500**", "**0.500**", "3.00"]


def test_a_target_is_met_or_not_by_what_kafka_reached():
    stream = {"ours": [{"log": "sqlite", "records_per_second": 9e9}, {"log": "kafka", "records_per_second": 20_000.0}]}
    found = targets.targets_table({"small": result(measured=BOTH), "stream": result(measured=stream)})
    assert row(found, "small round: wall, s") == ["< 0.25", "0.500", "no", "6.00"]
    assert row(found, "start to round 1, s") == ["< 3", "0.500", "yes", "5.00"]
    assert row(found, "records of 4 KiB a second") == ["≥ 20,000", "20,000", "yes", ""]
    assert targets.targets_table({}) == "Not measured yet."


def test_what_was_not_measured_is_neither_met_nor_missed():
    unknown = ROUND | {"log": "kafka", tables.WITH_BROKER: None}
    found = targets.targets_table({"large": result(measured={"ours": [unknown]})})
    assert row(found, "its CPU with the broker, s") == ["< 3.5", "not measured", ""]


def test_memory_is_compared_in_the_targets_megabytes():
    measured = {"ours": [ROUND | {"log": "kafka", "aggregator_peak_mib": 580.0}]}
    found = targets.targets_table({"large": result(measured=measured)})
    assert row(found, "its aggregator, peak MB") == ["< 600", "608", "no"]


def test_an_unknown_benchmark_is_refused_with_those_there_are(capsys):
    with pytest.raises(SystemExit):
        parse(["smal"])
    assert "no benchmark is called smal; there are small, large" in capsys.readouterr().err
