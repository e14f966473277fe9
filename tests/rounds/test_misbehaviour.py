"""What one hospital does, by mistake or on purpose, costs the others neither the job nor their time."""

from time import monotonic

import numpy as np
import pytest
from worlds import World, model_file

from consilia.errors import QuorumError, Refusal
from consilia.log import chunks, topics
from consilia.wire.identity import canonical
from consilia.wire.messages import SIGNATURE, Left, RoundClosed, RoundOpened
from consilia_workers.aggregator import run
from consilia_workers.rounds.metrics import weighted_mean

BOTH = {"names": ["bad", "good"], "minReady": 2, "minUpdates": 1}


def close(w: World, opened: RoundOpened) -> RoundClosed:
    w.aggregator.collect(opened)
    w.aggregator.close_round(opened)
    return next(message for message in reversed(w.said()) if isinstance(message, RoundClosed))


def test_metrics_near_the_end_of_float64_do_not_stop_the_job(world):
    w = world("bad", "good", evaluation={"metrics": ["auc"]})
    opened = w.begin()
    w.clinics["bad"].send(opened, metrics={"auc": 1.7e308}, samples=2**40)
    w.clinics["good"].send(opened, metrics={"auc": 1.7e308})
    assert close(w, opened).metrics == {"auc": pytest.approx(1.7e308)}


def test_metrics_that_nobody_asked_for_are_not_passed_on(world):
    w = world("bad", rounds={"count": 1}, evaluation={"metrics": ["auc"]})
    opened = w.begin()
    w.clinics["bad"].send(opened, metrics={"auc": 0.5, "patients_called_erika": 1.0})
    closed = close(w, opened)
    assert closed.metrics == closed.cohort[0].metrics == {"auc": 0.5}
    w.clinics["bad"].evaluate(1, closed.model.sha256, auc=0.75, patients_called_erika=1.0)
    assert run(w.aggregator).metrics == {"bad": {"auc": 0.75}}


def test_an_update_whose_chunks_come_after_its_round_does_not_count_in_the_next(world):
    """Its header was fine when it came; what it was trained from is history when it is complete."""
    w = world("bad", "good", rounds={"count": 2, "deadlineSeconds": 1})
    opened = w.begin()
    late = model_file(9.0)
    w.clinics["bad"].say(w.clinics["bad"].update(opened, late))
    w.clinics["good"].send(opened, 1.0)
    assert [(r.hospital, r.reason) for r in close(w, opened).refused] == [("bad", Refusal.TRUNCATED)]
    second = w.aggregator.open_round()
    with w.clinics["bad"].producer.transaction() as transaction:
        transaction.append(w.clinics["bad"].topic, late)
    w.clinics["good"].send(second, 2.0)
    assert [update.hospital for update in close(w, second).cohort] == ["good"]


def test_nobody_waits_for_a_hospital_whose_update_was_refused(world):
    w = world("bad", "good")
    opened = w.begin()
    w.clinics["bad"].send(opened, np.nan)
    w.clinics["good"].send(opened, 1.0)
    started = monotonic()
    assert [update.hospital for update in close(w, opened).cohort] == ["good"]
    assert monotonic() - started < 10


def test_who_leaves_after_its_update_still_counts_in_that_round(world):
    w = world("bad", "good", hospitals={**BOTH, "minUpdates": 2})
    opened = w.begin()
    w.clinics["bad"].send(opened, 3.0)
    w.clinics["bad"].say(Left(job="job", hospital="bad", reason="TaskFailed"))
    w.clinics["good"].send(opened, 1.0)
    assert [update.hospital for update in close(w, opened).cohort] == ["bad", "good"]


def test_a_wrong_evaluation_does_not_stand_for_the_right_one(world):
    w = world("bad", rounds={"count": 1}, evaluation={"metrics": ["auc"]})
    opened = w.begin()
    w.clinics["bad"].send(opened)
    right = close(w, opened).model.sha256
    w.clinics["bad"].evaluate(1, right, auc=0.75)
    w.clinics["bad"].evaluate(1, opened.model.sha256, auc=0.25)
    assert run(w.aggregator).metrics == {"bad": {"auc": 0.75}}


def test_words_in_a_message_cannot_write_the_aggregators_log(world, caplog):
    w = world("bad", "good")
    opened = w.begin()
    body = canonical({**w.clinics["bad"].joined().model_dump(mode="json", by_alias=True), "\x1b[2J\nERROR": 1})
    with w.clinics["bad"].producer.transaction() as transaction:
        transaction.append(w.clinics["bad"].topic, body, headers={SIGNATURE: w.keys["bad"].sign(body)})
    w.clinics["bad"].send(opened)
    w.clinics["good"].send(opened)
    (refused,) = close(w, opened).refused
    assert refused.message.isprintable()
    assert all(record.getMessage().isprintable() for record in caplog.records)


def test_a_forged_message_on_the_rounds_topic_is_passed_over(world):
    w = world("bad", "good")
    opened = w.begin()
    with w.clinics["bad"].producer.transaction() as transaction:
        transaction.append(topics.rounds("job"), b"{}", headers={SIGNATURE: w.keys["bad"].sign(b"{}")})
    w.aggregator = w.new_aggregator()
    assert w.aggregator.open_round() == opened


def test_one_flood_of_messages_does_not_drown_the_others(world):
    w = world("bad", "good")
    opened = w.begin()
    reception = w.aggregator._reception
    with w.clinics["bad"].producer.transaction() as transaction:
        for _ in range(5000):
            transaction.append(w.clinics["bad"].topic, b"rubbish")
    w.clinics["good"].send(opened)
    reception.read(opened)
    assert set(reception.arrived) == {"good"}
    assert reception.inboxes["bad"].position < 5000
    w.clinics["bad"].send(opened)
    assert len(close(w, opened).cohort) == 2


@pytest.mark.parametrize("names", [("a",), ("a", "b")])
def test_a_job_with_fewer_hospitals_than_it_needs_says_so_at_once(world, names):
    fields = {"selector": {"matchLabels": {"region": "north"}}, "names": None}
    w = world(*names)
    hospitals = w.job.spec.hospitals.model_copy(update={**fields, "min_ready": 3})
    w.aggregator._spec = w.job.spec.model_copy(update={"hospitals": hospitals})
    with pytest.raises(QuorumError, match=rf"3 hospitals are needed .* roster has {len(names)}"):
        w.aggregator.await_quorum()


def test_a_mean_of_finite_numbers_is_finite():
    reports = [(2**40, {"x": 1.797e308}), (1, {"x": 1.797e308}), (2**40, {"x": -1.797e308})]
    assert abs(weighted_mean(reports)["x"]) < 1e308


def test_the_record_of_a_round_stays_small_however_many_break_the_rules(world):
    names = [f"h{number}" for number in range(30)]
    w = world(*names, hospitals={"names": names, "minReady": 30, "minUpdates": 1})
    opened = w.begin()
    for name, clinic in w.clinics.items():
        if name != "h0":
            with clinic.producer.transaction() as transaction:
                for _ in range(12):
                    transaction.append(clinic.topic, b"{}", headers={SIGNATURE: "AAAA"})
        clinic.send(opened)
    assert len(close(w, opened).refused) == 256


def test_rubbish_without_end_is_no_update(world):
    w = world("bad", "good")
    opened = w.begin()
    data = model_file(1.0)
    w.clinics["bad"].say(w.clinics["bad"].update(opened, data), *chunks(data), *chunks(data))
    w.clinics["good"].send(opened, 3.0)
    assert len(close(w, opened).cohort) == 2
