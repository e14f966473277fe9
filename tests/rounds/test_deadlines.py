"""Time runs out: of a round, of its extension, of the job."""

from time import monotonic

import pytest

from consilia.errors import QuorumError
from consilia.wire.messages import RoundClosed, RoundExtended
from consilia_workers.aggregator import run
from consilia_workers.rounds.reception import Reception

BOTH = {"names": ["a", "b"], "minReady": 2, "minUpdates": 2}


def test_an_extension_lasts_as_long_as_the_round_did(world):
    w = world("a", "b", hospitals=BOTH, rounds={"count": 1, "deadlineSeconds": 1, "maxExtensions": 1})
    opened = w.begin()
    w.clinics["a"].send(opened)
    started = monotonic()
    with pytest.raises(QuorumError, match="after 1 extensions"):
        w.aggregator.collect(opened)
    assert monotonic() - started >= 2


def test_a_restart_does_not_forget_the_extensions(world):
    w = world("a", "b", hospitals=BOTH, rounds={"count": 1, "deadlineSeconds": 1, "maxExtensions": 1})
    opened = w.begin()
    w.clinics["a"].send(opened)
    with pytest.raises(QuorumError):
        w.aggregator.collect(opened)
    w.aggregator = w.new_aggregator()
    with pytest.raises(QuorumError, match="after 1 extensions"):
        w.aggregator.collect(opened)
    assert sum(isinstance(message, RoundExtended) for message in w.said()) == 1


def test_an_update_in_the_extension_still_counts(world):
    w = world("a", "b", hospitals=BOTH, rounds={"count": 1, "deadlineSeconds": 1, "maxExtensions": 1})
    opened = w.begin()
    w.clinics["a"].send(opened)
    with pytest.raises(QuorumError):
        w.aggregator.collect(opened)
    w.clinics["b"].send(opened)
    w.aggregator.collect(opened)
    w.aggregator.close_round(opened)
    (closed,) = [message for message in w.said() if isinstance(message, RoundClosed)]
    assert [update.hospital for update in closed.cohort] == ["a", "b"]


def test_the_jobs_own_deadline_ends_a_round(world):
    w = world("a", runPolicy={"activeDeadlineSeconds": 1})
    w.begin()
    finished = run(w.aggregator)
    assert (finished.outcome, finished.reason) == ("Failed", "Quorum")
    assert "ran longer than its runPolicy.activeDeadlineSeconds while waiting in round 1 for a" in finished.message


def test_the_jobs_own_deadline_ends_the_wait_for_evaluations(world):
    w = world("a", rounds={"count": 1, "deadlineSeconds": 60}, runPolicy={"activeDeadlineSeconds": 1})
    opened = w.begin()
    w.clinics["a"].send(opened)
    w.aggregator.collect(opened)
    w.aggregator.close_round(opened)
    started = monotonic()
    finished = run(w.aggregator)
    assert (finished.outcome, finished.metrics) == ("Succeeded", {})
    assert monotonic() - started < 10


def test_whoever_waits_for_evaluations_looks_up_now_and_then_however_far_the_deadline_is(world, monkeypatch):
    w = world("a", rounds={"count": 1, "deadlineSeconds": 86_400}, evaluation={"metrics": ["auc"]})
    opened = w.begin()
    w.clinics["a"].send(opened)
    w.aggregator.collect(opened)
    w.aggregator.close_round(opened)
    (closed,) = [message for message in w.said() if isinstance(message, RoundClosed)]
    waits = []

    def answer_at_the_third(_, timeout):
        waits.append(timeout)
        if len(waits) == 3:
            w.clinics["a"].evaluate(1, closed.model.sha256, auc=0.5)

    monkeypatch.setattr(Reception, "wait", answer_at_the_third)
    assert run(w.aggregator).metrics == {"a": {"auc": 0.5}}
    assert max(waits) <= 30
