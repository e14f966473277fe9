"""`python -m benchmarks.fleet`: how its figures are shown, and that it measures a hub with hospitals that answer."""

import json
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from kafka_brokers import runtime_or_skip
from needed import missing

from benchmarks import fleet, tables
from benchmarks.fleet import Figures
from tests.cluster.components import CONTROL, ETCD

ROOT = Path(__file__).parents[2]


def figures(hospitals, **changed):
    return Figures(**{field.name: 1.0 for field in fields(Figures)} | {"hospitals": hospitals} | changed)


def test_the_line_through_the_curve_is_drawn_on():
    curve = [figures(count, rest_cpu_percent=1 + count / 100, rss_mib=100 + count / 10) for count in (50, 100, 200)]
    found = fleet.extrapolated(curve)
    assert found["hospitals"] == 10_000
    assert found["rest_cpu_percent"] == pytest.approx(101)
    assert found["rss_mib"] == pytest.approx(1100)


def test_each_number_of_hospitals_has_its_column():
    curve = [figures(50), figures(200, rest_cpu_percent=2.5)]
    said = {"curve": [asdict(each) for each in curve], "extrapolated": fleet.extrapolated(curve)}
    lines = tables.fleet_table(said).splitlines()
    assert lines[0] == "| hospitals | 50 | 200 | 10,000, by the line through them |"
    assert "| at rest: the operator, % of a core | 1.00 | 2.50 | 100 |" in lines


def test_numbers_of_hospitals_are_told_apart_by_commas(capsys):
    assert fleet.parse(["--hospitals", "50,100"]).hospitals == [50, 100]
    with pytest.raises(SystemExit):
        fleet.parse(["--hospitals", "50,none"])
    assert "'none' is no whole number from 1 on" in capsys.readouterr().err


def test_more_hospitals_than_a_job_can_have_are_refused(capsys):
    with pytest.raises(SystemExit):
        fleet.parse(["--hospitals", "257"])
    assert "a job can have 256" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_five_hospitals_are_measured():
    runtime_or_skip()
    if not (CONTROL.built and ETCD.built):
        missing("the API server is not built: run `make cluster` once")
    command = [sys.executable, "-m", "benchmarks.fleet", "--hospitals", "5", "--seconds", "5", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=True)
    (found,) = json.loads(done.stdout)["curve"]
    assert asdict(Figures(**found)) == found
    assert 0 < found["offered_seconds"] <= found["answered_seconds"]
    assert found["rest_requests_per_heartbeat"] < 20
    assert 30 < found["empty_rss_mib"] < found["peak_mib"] < 400
    assert found["topic_bytes_per_hospital"] > found["offer_bytes"] > found["report_bytes"] >= 0
    assert found["status_bytes"] > 1000
