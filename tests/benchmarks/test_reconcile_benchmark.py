"""`python -m benchmarks.reconcile`: how its figures are reckoned, and that it measures an operator at work."""

import json
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from needed import missing

from benchmarks import hub, reconcile, tables, targets
from benchmarks.operator_process import Told, quantile_ms
from benchmarks.reconcile import Idle, Restart, Work
from benchmarks.results import Result
from consilia.api import Dataset, FederatedJob, Hospital
from tests.cluster.components import CONTROL, ETCD

ROOT = Path(__file__).parents[2]
INFINITE = float("inf")


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ({}, 0.5, None),
        ({0.1: 0, INFINITE: 0}, 0.5, None),
        ({0.1: 10, INFINITE: 10}, 0.5, 50),
        ({0.1: 0, 0.2: 10, INFINITE: 10}, 0.5, 150),
        ({0.1: 99, 0.2: 100, INFINITE: 100}, 0.99, 100),
        ({0.1: 50, INFINITE: 100}, 0.99, 100),  # longer than anybody counted
    ],
)
def test_quantiles_are_reckoned_as_prometheus_does(buckets, share, expected):
    assert quantile_ms(buckets, share) == (None if expected is None else pytest.approx(expected))


def test_looks_are_counted_by_kind():
    lines = [
        'consilia_reconcile_duration_seconds_bucket{kind="FederatedJob",le="0.1"} 3.0',
        'consilia_reconcile_duration_seconds_bucket{kind="FederatedJob",le="+Inf"} 4.0',
        'consilia_reconcile_duration_seconds_bucket{kind="Hospital",le="0.1"} 9.0',
    ]
    told = Told.read("# TYPE consilia_reconcile_duration_seconds histogram\n" + "\n".join(lines) + "\n")
    assert told.buckets("FederatedJob") == {0.1: 3, INFINITE: 4}


@given(st.floats(-9, 9), st.floats(-9, 9), st.lists(st.integers(1, 3000), min_size=2, max_size=5, unique=True))
def test_a_straight_line_is_found_again(start, slope, xs):
    points = [(x, start + slope * x) for x in xs]
    assert reconcile.line(points, 10_000) == pytest.approx(start + slope * 10_000, rel=1e-6, abs=1e-4)


def test_the_idle_share_is_what_is_left_between_resyncs_and_their_part():
    # 0.5 % of a core with nothing to do, 5.5 % with a resync every 20 s: 1 s of CPU each, one in 300 s
    found = reconcile.idle(1000, 60, 0.005, 0.055, 100)
    assert found.resync_cpu_seconds == pytest.approx(1.0)
    assert found.idle_percent == pytest.approx(0.5 + 100 / 300, abs=1e-3)


def test_what_is_created_is_valid():
    by_kind = {"Dataset": Dataset, "Hospital": Hospital, "FederatedJob": FederatedJob}
    documents = [*hub.foundation(), hub.job("job-1", suspended=True), hub.job("job-2", suspended=False)]
    checked = [by_kind[each["kind"]].model_validate(each) for each in documents if each["kind"] in by_kind]
    assert len(checked) == 2 * len(hub.HOSPITALS) + 2


def test_a_job_counts_when_it_is_suspended_in_its_newest_generation():
    status = {"observedGeneration": 2, "conditions": [{"type": "Suspended", "status": "True"}]}
    assert hub.looked_at({"metadata": {"generation": 2}, "status": status})
    assert not hub.looked_at({"metadata": {"generation": 3}, "status": status})
    assert not hub.looked_at({"metadata": {"generation": 2}, "status": status | {"conditions": []}})
    assert not hub.looked_at({"metadata": {"generation": 1}})


def figures(kind, jobs, **changed):
    return {field.name: 1.0 for field in fields(kind)} | {"jobs": jobs} | changed


MEASURED = {
    "curve": [figures(Work, 100), figures(Work, 1000, reconciled_seconds=89.0, peak_mib=100.0)],
    "restart": figures(Restart, 1000, peak_mib=390.0),
    "idle": figures(Idle, 1000, idle_percent=2.5),
    "active": figures(Work, 200),
    "extrapolated": {"jobs": 10_000, "reconciled_seconds": 890.0},
}


def test_each_number_of_jobs_has_its_column():
    lines = tables.operator_table(MEASURED).splitlines()
    head = "| FederatedJobs | 100 suspended | 1,000 suspended | 10,000, by the line through them | 200 to run |"
    assert lines[0] == head
    assert "| all reconciled, s | 1.00 | 89.0 | 890 | 1.00 |" in lines
    assert "| idle, a resync every 5 minutes: % of a core | 2.50 |" in lines


def test_targets_are_held_to_the_worst_of_what_was_seen():
    kept = Result(command="c", date="d", consilia="0", machine="m", measured=MEASURED)
    lines = targets.operator_targets_table({"reconcile": kept}).splitlines()
    assert "| all reconciled, s | < 90 | 89.0 | yes |" in lines
    assert "| the operator, peak MB | < 400 | 409 | no |" in lines
    assert "| idle: % of a core | < 2 | 2.50 | no |" in lines


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twenty_jobs_are_measured():
    if not (CONTROL.built and ETCD.built):
        missing("the API server is not built: run `make cluster` once")
    command = [
        sys.executable,
        "-m",
        "benchmarks.reconcile",
        "--jobs",
        "20",
        "--active",
        "2",
        "--seconds",
        "1",
        "--json",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=580, check=True)
    said = json.loads(done.stdout)
    (work,) = said["curve"]
    for measured, kind in ((work, Work), (said["active"], Work), (said["restart"], Restart), (said["idle"], Idle)):
        assert measured.keys() == {field.name for field in fields(kind)}
        assert not measured.get("errors")
    assert work["create_seconds"] <= work["reconciled_seconds"]
    assert work["looks"] >= 20
    assert 1 <= work["requests_per_job"] < 10 < said["active"]["requests_per_job"]
    assert work["operator_cpu_seconds"] > 0
    assert 30 < work["rss_mib"] <= work["peak_mib"]
    assert asdict(Work(**work)) == work
