"""A hospital's privacy budget is spent: it is dropped, or the job stops for all."""

import pytest

from consilia.errors import BudgetError
from consilia.wire.messages import Left, RoundClosed
from consilia_workers.aggregator import run

HOSPITALS = {"names": ["a", "b", "c"], "minReady": 2, "minUpdates": 2}
ROUNDS = {"count": 2, "deadlineSeconds": 1, "maxExtensions": 1}
TRAINING = {"localSteps": 2, "batchSize": 8}


def begun(world, on_exhausted):
    privacy = {"epsilon": "2", "onExhausted": on_exhausted}
    w = world("a", "b", "c", hospitals=HOSPITALS, rounds=ROUNDS, training=TRAINING, privacy=privacy)
    return w, w.begin()


def send(w, opened, *names):
    for name in names:
        w.clinics[name].send(opened)


def spend(w):
    w.clinics["c"].say(Left(job="job", hospital="c", reason="Exhausted"))


def cohorts(w):
    return [[update.hospital for update in said.cohort] for said in w.said() if isinstance(said, RoundClosed)]


def test_a_job_that_is_to_stop_ends_with_the_model_of_its_last_round(world):
    w, first = begun(world, "StopJob")
    send(w, first, "a", "b", "c")
    assert w.aggregator.collect(first)
    w.aggregator.close_round(first)
    second = w.aggregator.open_round()
    send(w, second, "a", "b")
    spend(w)
    finished = run(w.new_aggregator())
    assert (finished.outcome, finished.reason, finished.rounds) == ("Succeeded", "BudgetExhausted", 1)
    assert cohorts(w) == [["a", "b", "c"]]


def test_a_job_that_is_to_stop_fails_where_there_was_no_round(world):
    w, first = begun(world, "StopJob")
    send(w, first, "a", "b")
    spend(w)
    with pytest.raises(BudgetError, match="the privacy budget of c affords no round"):
        w.aggregator.collect(first)
    finished = run(w.new_aggregator())
    assert (finished.outcome, finished.reason, finished.model) == ("Failed", "Budget", None)


def test_otherwise_the_others_go_on_without_it(world):
    w, first = begun(world, "DropHospital")
    spend(w)
    for number in (1, 2):
        opened = first if number == 1 else w.aggregator.open_round()
        send(w, opened, "a", "b")
        assert w.aggregator.collect(opened)
        w.aggregator.close_round(opened)
    finished = run(w.new_aggregator())
    assert (finished.outcome, finished.reason, finished.rounds) == ("Succeeded", "AllRounds", 2)
    assert cohorts(w) == [["a", "b"], ["a", "b"]]
