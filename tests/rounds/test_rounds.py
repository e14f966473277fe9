"""Rounds from opening to closing, with hospitals that come, go, dawdle and repeat themselves."""

from contextlib import closing
from itertools import permutations

import numpy as np
import pytest
from worlds import LAYOUT, World, make_job

from consilia.errors import FencedError, QuorumError, TaskError
from consilia.log import topics
from consilia.log.opening import open_log, sqlite_url
from consilia.wire.identity import Identity, Roster
from consilia.wire.messages import EvaluationOpened, JobFinished, Left, RoundClosed, RoundExtended, RoundOpened
from consilia_workers.aggregator import Aggregator, run
from consilia_workers.local.export import export_model

AT_ONCE = {"count": 2, "deadlineSeconds": 1, "maxExtensions": 1}
"""The shortest deadline there is."""


def weights(world: World, version: int) -> np.ndarray:
    path = world.folder / "model"
    export_model(world.logs[0], "job", version, path)
    return LAYOUT.view(path.read_bytes())["weight"].ravel()


def play(world: World, opened: RoundOpened) -> RoundClosed:
    world.aggregator.collect(opened)
    world.aggregator.close_round(opened)
    return next(message for message in reversed(world.said()) if isinstance(message, RoundClosed))


def test_a_round_is_the_mean_of_its_updates_weighted_by_samples(world):
    w = world("a", "b")
    opened = w.begin()
    w.clinics["a"].send(opened, 1.0, samples=10)
    w.clinics["b"].send(opened, 4.0, samples=30)
    closed = play(w, opened)
    assert weights(w, 1).tolist() == [3.25] * 6
    assert [(u.hospital, u.samples) for u in closed.cohort] == [("a", 10), ("b", 30)]


def test_the_result_has_the_same_bytes_whatever_the_order_of_arrival(world):
    digests = set()
    for order in permutations("abc"):
        w = world("a", "b", "c")
        opened = w.begin()
        for name in order:
            w.clinics[name].send(opened, {"a": 1e30, "b": -1e30, "c": 3.0}[name])
            w.aggregator._reception.read(opened)
        digests.add(play(w, opened).model.sha256)
    assert len(digests) == 1


def test_nothing_starts_before_enough_hospitals_are_there(world):
    w = world(
        "a",
        "b",
        hospitals={"names": ["a", "b"], "minReady": 2, "minUpdates": 1},
        runPolicy={"activeDeadlineSeconds": 1},
    )
    w.clinics["a"].join()
    with pytest.raises(QuorumError, match="waiting for b"):
        w.aggregator.await_quorum()


@pytest.mark.parametrize("digest", ["config_digest", "roster_digest"])
def test_a_hospital_with_another_configuration_is_not_there(world, digest):
    w = world("a", "b")
    w.clinics["a"].join(**{digest: "sha256:" + "0" * 64})
    w.clinics["b"].join()
    reception = w.aggregator._reception
    reception.read(None)
    assert reception.present == {"b"}
    assert "another configuration" in reception.refused[0].message


def test_what_was_refused_before_the_first_round_is_on_the_record(world):
    w = world("a", "b", hospitals={"names": ["a", "b"], "minReady": 1, "minUpdates": 1})
    w.clinics["b"].join(config_digest="sha256:" + "0" * 64)
    w.clinics["a"].join()
    w.aggregator.await_quorum()
    opened = w.aggregator.open_round()
    w.clinics["a"].send(opened)
    assert [(refused.hospital, refused.reason) for refused in play(w, opened).refused] == [("b", "WrongJob")]


def test_a_task_without_a_model_fails_the_job_in_words(tmp_path):
    def broken():
        raise TaskError("the initial model could not be made: no such module.")

    key = Identity.generate("aggregator")
    with closing(open_log(sqlite_url(tmp_path))) as log:
        finished = run(Aggregator(make_job(["a"]), log, key, Roster(key.public(), {}), broken))
    assert (finished.outcome, finished.reason, finished.model) == ("Failed", "Task", None)
    assert "no such module" in finished.message


def test_a_restarted_aggregator_remembers_who_left(world):
    w = world("a", "b", hospitals={"names": ["a", "b"], "minReady": 2, "minUpdates": 1})
    opened = w.begin()
    w.clinics["b"].say(Left(job="job", hospital="b", reason="TaskFailed"))
    w.clinics["a"].send(opened)
    play(w, opened)
    w.aggregator = w.new_aggregator()
    assert w.aggregator._reception.left == {"b": "TaskFailed"}


def test_a_straggler_is_dropped_at_the_deadline_and_named(world):
    w = world("a", "b", "c", rounds=AT_ONCE)
    opened = w.begin()
    w.clinics["a"].send(opened)
    w.clinics["b"].send(opened)
    closed = play(w, opened)
    assert closed.dropped == ["c"]
    assert closed.present == ["a", "b"]


def test_nobody_waits_in_the_next_round_for_who_was_dropped(world):
    w = world("a", "b", rounds=AT_ONCE)
    opened = w.begin()
    w.clinics["a"].send(opened)
    play(w, opened)
    assert w.aggregator.open_round().hospitals == ["a"]


def test_who_was_dropped_comes_back_with_a_sign_of_life(world):
    w = world("a", "b", rounds=AT_ONCE)
    opened = w.begin()
    w.clinics["a"].send(opened)
    play(w, opened)
    second = w.aggregator.open_round()
    w.clinics["b"].join()
    w.clinics["b"].send(second, 3.0)
    w.clinics["a"].send(second, 1.0)
    assert [u.hospital for u in play(w, second).cohort] == ["a", "b"]


def test_with_wait_the_deadline_moves_and_the_missing_are_named(world):
    w = world("a", "b", rounds={**AT_ONCE, "onStraggler": "Wait"})
    opened = w.begin()
    w.clinics["a"].send(opened)
    with pytest.raises(QuorumError, match="missing: b"):
        w.aggregator.collect(opened)
    extended = [message for message in w.said() if isinstance(message, RoundExtended)]
    assert [(e.missing, e.extension) for e in extended] == [(["b"], 1)]


def test_below_quorum_the_job_fails_after_its_extensions_and_says_who_is_missing(world):
    w = world("a", "b", rounds=AT_ONCE, hospitals={"names": ["a", "b"], "minReady": 2, "minUpdates": 2})
    opened = w.begin()
    w.clinics["a"].send(opened)
    finished = run(w.aggregator)
    assert (finished.outcome, finished.reason) == ("Failed", "Quorum")
    assert "1 of 2 updates" in finished.message
    assert "missing: b" in finished.message


def test_nobody_waits_for_a_hospital_that_left(world):
    w = world("a", "b")
    opened = w.begin()
    w.clinics["a"].send(opened)
    w.clinics["b"].say(Left(job="job", hospital="b", reason="TaskFailed"))
    assert [u.hospital for u in play(w, opened).cohort] == ["a"]


def test_when_too_many_left_the_job_fails_at_once_with_their_reasons(world):
    w = world("a", "b", hospitals={"names": ["a", "b"], "minReady": 2, "minUpdates": 2})
    opened = w.begin()
    w.clinics["b"].say(Left(job="job", hospital="b", reason="Diverged"))
    with pytest.raises(QuorumError, match=r"b left \(Diverged\)"):
        w.aggregator.collect(opened)


def test_an_update_sent_twice_counts_once(world):
    w = world("a", "b")
    opened = w.begin()
    w.clinics["a"].send(opened, 1.0)
    w.clinics["a"].send(opened, 1.0)
    w.clinics["b"].send(opened, 3.0)
    closed = play(w, opened)
    assert weights(w, 1).tolist() == [2.0] * 6
    assert closed.refused == []


def test_a_restarted_aggregator_goes_on_to_the_same_bytes(world):
    undisturbed, disturbed = world("a", "b"), world("a", "b")
    for w in (undisturbed, disturbed):
        opened = w.begin()
        w.clinics["a"].send(opened, 1.5)
        if w is disturbed:
            w.aggregator = w.new_aggregator()
            assert w.aggregator.open_round() == opened
        w.clinics["b"].send(opened, 2.5)
        play(w, opened)
        if w is disturbed:
            w.aggregator = w.new_aggregator()
            w.aggregator.await_quorum()
        second = w.aggregator.open_round()
        for clinic in w.clinics.values():
            clinic.send(second, 5.0)
        play(w, second)
    assert weights(disturbed, 2).tolist() == weights(undisturbed, 2).tolist()


def test_a_restarted_aggregator_remembers_who_came_in_the_middle_of_a_closed_round(world):
    w = world("a", "b", hospitals={"names": ["a", "b"], "minReady": 1, "minUpdates": 1})
    w.clinics["a"].join()
    w.aggregator.await_quorum()
    opened = w.aggregator.open_round()
    w.clinics["b"].join()
    w.clinics["b"].send(opened)
    w.clinics["a"].send(opened)
    play(w, opened)
    w.aggregator = w.new_aggregator()
    assert w.aggregator.open_round().hospitals == ["a", "b"]


def test_an_aggregator_that_was_replaced_cannot_close_a_round(world):
    w = world("a")
    opened = w.begin()
    w.clinics["a"].send(opened)
    old = w.aggregator
    w.new_aggregator()
    old.collect(opened)
    with pytest.raises(FencedError):
        old.close_round(opened)


def test_a_finished_job_stays_finished(world):
    w = world("a", rounds={"count": 1, "deadlineSeconds": 60}, evaluation={"everyRounds": 0, "metrics": ["auc"]})
    opened = w.begin()
    w.clinics["a"].send(opened)
    w.clinics["a"].evaluate(1, play(w, opened).model.sha256, auc=0.75)
    finished = run(w.aggregator)
    assert (finished.outcome, finished.reason, finished.metrics) == ("Succeeded", "AllRounds", {"a": {"auc": 0.75}})
    assert run(w.new_aggregator()) == finished
    assert sum(isinstance(message, JobFinished) for message in w.said()) == 1


def test_who_does_not_evaluate_in_time_is_left_out(world):
    w = world("a", "b", rounds={**AT_ONCE, "count": 1})
    opened = w.begin()
    for clinic in w.clinics.values():
        clinic.send(opened)
    w.clinics["b"].evaluate(1, play(w, opened).model.sha256, loss=0.5)
    assert run(w.aggregator).metrics == {"b": {"loss": 0.5}}
    assert sum(isinstance(message, EvaluationOpened) for message in w.said()) == 1


def test_metrics_are_means_weighted_by_samples_and_can_stop_the_job(world):
    stop = [{"metric": "auc", "operator": "GreaterOrEqual", "value": "0.8"}]
    w = world("a", "b", evaluation={"everyRounds": 1, "metrics": ["auc"], "stopWhen": stop})
    opened = w.begin()
    w.clinics["a"].send(opened, samples=10, metrics={"auc": 0.7})
    w.clinics["b"].send(opened, samples=30, metrics={"auc": 0.9})
    assert play(w, opened).metrics == {"auc": pytest.approx(0.85)}
    assert not w.aggregator.rounds_left()


def test_what_was_read_is_committed_with_the_rounds_result(world):
    w = world("a")
    opened = w.begin()
    w.clinics["a"].send(opened)
    play(w, opened)
    log, topic = w.logs[0], w.clinics["a"].topic
    assert log.committed(topics.aggregator("job"), topic) == log.end_offset(topic)


def test_payloads_are_let_go_once_their_round_is_closed(world):
    w = world("a")
    opened = w.begin()
    w.clinics["a"].send(opened)
    play(w, opened)
    assert w.logs[0].read(w.clinics["a"].topic, 0) == []


def test_buffers_are_averaged_but_no_server_optimizer_touches_them(world):
    aggregation = {"strategy": "FedAvgM", "serverOptimizer": {"learningRate": "0.5", "momentum": "0.9"}}
    w = world("a", "b", aggregation=aggregation)
    opened = w.begin()
    w.clinics["a"].send(opened, 1.0)
    w.clinics["b"].send(opened, 3.0)
    play(w, opened)
    path = w.folder / "model"
    export_model(w.logs[0], "job", 1, path)
    model = LAYOUT.view(path.read_bytes())
    assert model["weight"].ravel().tolist() == [1.0] * 6  # half of the way from 0 to the mean, 2
    assert model["running_mean"].tolist() == [2.0, 2.0]


def test_the_server_optimizers_state_survives_a_restart(world):
    aggregation = {"strategy": "FedAdam", "serverOptimizer": {"learningRate": "0.1"}}
    results = []
    for restart in (False, True):
        w = world("a", aggregation=aggregation, rounds={"count": 3})
        opened = w.begin()
        for value in (1.0, 2.0, -1.0):
            w.clinics["a"].send(opened, value)
            play(w, opened)
            if restart:
                w.aggregator = w.new_aggregator()
            opened = w.aggregator.open_round() if w.aggregator.rounds_left() else opened
        results.append(weights(w, 3).tolist())
    assert results[0] == results[1]
    assert results[0] != [0.0] * 6
