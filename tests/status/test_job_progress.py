"""What the aggregator tells of a job while it goes on: each hospital's state, with the reason where it is not well."""

import math
from time import time

import pytest
from status_ports import Witness, part
from worlds import model_file

from consilia.errors import QuorumError
from consilia.wire.messages import Left
from consilia_workers.aggregator import run

TWO = {"names": ["a", "b"], "minReady": 2, "minUpdates": 1}
BOTH = {"names": ["a", "b"], "minReady": 2, "minUpdates": 2}
LOSS = {"metrics": ["loss"]}


def observed(w):
    """The world's aggregator, started anew under observation."""
    witness = Witness(w)
    w.aggregator = w.new_aggregator(witness)
    return witness


def play(w, opened, *names, **changes):
    for name in names:
        w.clinics[name].send(opened, **changes)
    w.aggregator.collect(opened)
    w.aggregator.close_round(opened)


def test_it_waits_and_names_who_is_missing(world):
    w = world("a", "b")
    w.clinics["a"].join()
    witness = observed(w)
    now = witness.told[-1]
    assert (now.phase, now.round, now.started) == ("Waiting", 0, None)
    assert {each.name: each.state for each in now.hospitals} == {"a": "Ready", "b": "Absent"}


def test_a_round_goes_from_training_to_sent_and_is_counted(world):
    w = world("a", "b")
    witness = observed(w)
    opened = w.begin()
    assert witness.now().deadline == opened.deadline
    play(w, opened, "a", "b")
    assert witness.states("a") == ["Absent", "Ready", "Training", "Sent", "Ready"]
    now = witness.now()
    assert (now.phase, now.rounds_completed, now.deadline) == ("Training", 1, None)
    assert now.model is not None
    assert (now.model.round, now.model.digest) == (1, w.said()[-1].model.sha256)
    assert witness.part("b").round == 1
    assert now.last_round_seconds is not None
    assert 0 <= now.last_round_seconds < 10


def test_every_change_has_a_higher_version(world):
    w = world("a", "b")
    witness = observed(w)
    play(w, w.begin(), "a", "b")
    changes = [each for before, each in zip(witness.told, witness.told[1:], strict=False) if each != before]
    versions = [each.version for each in changes]
    assert versions == sorted(set(versions))
    assert Witness(w).now().version > versions[-1], "whoever comes later starts above"


def test_who_misses_the_deadline_is_late_until_it_shows_itself(world):
    w = world("a", "b", hospitals=TWO, rounds={"count": 3, "deadlineSeconds": 1})
    witness = observed(w)
    play(w, w.begin(), "a")
    assert (witness.part("b").state, witness.part("b").message) == ("Late", "no update for round 1 by its deadline")
    w.clinics["b"].join()
    play(w, w.aggregator.open_round(), "a", "b")
    assert witness.part("b").state == "Ready"
    assert witness.part("b").message == ""


def test_who_keeps_an_extended_round_waiting_is_late(world):
    w = world("a", "b", hospitals=BOTH, rounds={"count": 1, "deadlineSeconds": 1, "maxExtensions": 1})
    witness = observed(w)
    opened = w.begin()
    w.clinics["a"].send(opened)
    with pytest.raises(QuorumError):
        w.aggregator.collect(opened)
    now = witness.now()
    assert (now.extensions, now.updates_received) == (1, 1)
    assert now.deadline is not None
    assert now.deadline > opened.deadline
    assert (witness.part("a").state, witness.part("b").state) == ("Sent", "Late")
    assert witness.part("b").message == "no update for round 1 by its deadline, which was moved"


def test_whose_update_was_refused_is_late_with_the_reason(world):
    w = world("a", "b", hospitals=TWO)
    witness = observed(w)
    opened = w.begin()
    data = model_file(math.nan)
    w.clinics["b"].say(w.clinics["b"].update(opened, data), data)
    play(w, opened, "a")
    assert witness.part("b").state == "Late"
    assert witness.part("b").message == "refused (NotFinite): the parameters from b hold NaN or infinity"
    assert witness.value("consilia_updates_rejected_total", reason="NotFinite") == 1


@pytest.mark.parametrize("reason", ["TaskFailed", "DataUnavailable", "Diverged", "Refused"])
def test_who_left_is_shown_with_the_reason(world, reason):
    w = world("a", "b", hospitals=TWO)
    witness = observed(w)
    opened = w.begin()
    w.clinics["b"].say(Left(job="job", hospital="b", reason=reason))
    play(w, opened, "a")
    assert witness.part("b").state == "Left"
    assert len(witness.part("b").message) > 20


def finish(w):
    """The rest of the job, every hospital answering with another loss."""
    while w.aggregator.rounds_left():
        play(w, w.aggregator.open_round(), "a", "b", metrics={"loss": 4.0})
    model = w.said()[-1].model.sha256
    w.clinics["a"].evaluate(w.job.spec.rounds.count, model, loss=1.0)
    w.clinics["b"].evaluate(w.job.spec.rounds.count, model, loss=2.0)
    return run(w.aggregator)


def test_the_end_has_outcome_and_the_mean_over_hospitals(world):
    w = world("a", "b", evaluation=LOSS)
    witness = observed(w)
    play(w, w.begin(), "a", "b", metrics={"loss": 8.0})
    assert witness.now().metrics == {"loss": 8.0}
    finish(w)
    now = witness.now()
    assert now.phase == "Finished"
    assert now.ending is not None
    assert (now.ending.outcome, now.ending.reason) == ("Succeeded", "AllRounds")
    assert now.metrics == {"loss": 1.5}
    assert "Evaluating" in [each.phase for each in witness.told]
    assert witness.pulse.overdue() == 0


def test_a_failure_tells_why(world):
    w = world("a", "b", hospitals=BOTH)
    witness = observed(w)
    w.begin()
    w.clinics["b"].say(Left(job="job", hospital="b", reason="TaskFailed"))
    run(w.aggregator)
    ending = witness.now().ending
    assert ending is not None
    assert (ending.outcome, ending.reason) == ("Failed", "Quorum")
    assert "b left (TaskFailed)" in ending.message
    assert witness.value("consilia_rounds_total", result="Failed") == 1


def test_a_restarted_aggregator_tells_the_same(world):
    """But for what nobody could know: a clock read a moment earlier, and deadlines, which start anew."""
    w = world("a", "b", evaluation=LOSS, rounds={"count": 4, "deadlineSeconds": 600})
    witness = observed(w)
    play(w, w.begin(), "a", "b", metrics={"loss": 8.0})
    opened = w.aggregator.open_round()
    w.clinics["a"].send(opened)
    w.aggregator._read(opened)
    again = Witness(w)
    w.aggregator = w.new_aggregator(again)
    before, after = ({**each.now().model_dump(), "version": 0} for each in (witness, again))
    assert abs(before.pop("last_round_seconds") - after.pop("last_round_seconds")) < 0.1
    assert after == before
    assert before["started"] == pytest.approx(time(), abs=60)
    w.aggregator.open_round()
    assert again.now().deadline > opened.deadline


def test_a_restart_after_the_end_still_tells_of_it(world):
    w = world("a", "b", evaluation=LOSS)
    witness = observed(w)
    w.begin()
    finish(w)
    again = Witness(w)
    w.new_aggregator(again)
    before, after = witness.now(), again.now()
    assert (after.phase, after.ending, after.metrics, after.model) == (
        "Finished",
        before.ending,
        before.metrics,
        before.model,
    )
    assert (after.started, after.hospitals) == (before.started, before.hospitals)
    assert part(after, "a").round == 2
