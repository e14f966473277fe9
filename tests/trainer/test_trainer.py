"""A hospital's part, step by step: what it does with what it hears, and after it was killed."""

from itertools import islice

import pytest
from rehearsal import Rehearsal
from worlds import World, make_job, model_file

from consilia.errors import DataError, DivergedError, LogUnavailableError, Refusal, RefusedMessage, TaskError
from consilia.log import topics
from consilia.wire.messages import (
    SIGNATURE,
    EvaluationOpened,
    FromHospital,
    Joined,
    Left,
    RoundClosed,
    RoundOpened,
    encode,
    from_hospital,
)
from consilia.wire.payload import describe
from consilia_workers.outbox import Outbox
from consilia_workers.trainer import Trainer, run


@pytest.fixture
def rehearsal(tmp_path):
    """`rehearsal("a", "b", rounds=…)`: hospital a has a real trainer, b is played by the test."""
    worlds = []

    def make(*names: str, **spec: object) -> Rehearsal:
        worlds.append(World(tmp_path, make_job(list(names), **spec)))
        return Rehearsal(worlds[-1], names[0])

    yield make
    for world in worlds:
        world.close()


def said(r: Rehearsal) -> list[FromHospital]:
    """All messages on the hospital's topic."""
    records, key = r.world.logs[0].read(topics.up(r.name, "job"), 0), r.world.keys[r.name].public()
    return [from_hospital(record, hospital=r.name, key=key, job="job") for record in records if record.headers]


def begin(r: Rehearsal) -> RoundOpened:
    """Everybody joins, played by the test; round 1 opens."""
    return r.world.begin()


def die(*_: object) -> None:
    raise LogUnavailableError("the plug is pulled")


def next_of(trainer: Trainer):
    """What there is to do now."""
    return next(islice(trainer.follow(), 1))


def close(r: Rehearsal, opened: RoundOpened) -> RoundClosed:
    r.world.aggregator.collect(opened)
    r.world.aggregator.close_round(opened)
    return r.world.said()[-1]


def test_a_round_is_trained_and_sent_and_counts(rehearsal):
    r = rehearsal("a")
    trainer = r.start()
    trainer.join()
    r.world.aggregator.await_quorum()
    opened = r.world.aggregator.open_round()
    assert next_of(trainer) == opened
    trainer.take_part(opened)
    assert [(u.hospital, u.sha256) for u in close(r, opened).cohort] == [("a", describe([model_file(1.0)]).sha256)]


def test_killed_after_the_outbox_the_same_bytes_are_sent_without_training_again(rehearsal, monkeypatch):
    r = rehearsal("a")
    opened = begin(r)
    trainer = r.start()
    monkeypatch.setattr(trainer.uplink, "send", die)
    with pytest.raises(LogUnavailableError):
        trainer.take_part(opened)
    r.start().take_part(opened)
    assert r.learner.trained == [1]
    assert [u.sha256 for u in close(r, opened).cohort] == [describe([model_file(1.0)]).sha256]


def test_killed_after_sending_nothing_is_sent_again(rehearsal):
    r = rehearsal("a")
    opened = begin(r)
    r.start().take_part(opened)
    r.start().take_part(opened)
    assert [message.type for message in said(r)] == ["Joined", "Update"]


def test_killed_between_sending_and_noting_it_the_update_is_sent_twice_and_counts_once(rehearsal, monkeypatch):
    r = rehearsal("a", "b")
    opened = begin(r)
    trainer = r.start()
    monkeypatch.setattr(Outbox, "mark_sent", die)
    with pytest.raises(LogUnavailableError):
        trainer.take_part(opened)
    monkeypatch.undo()
    r.start().take_part(opened)
    r.world.clinics["b"].send(opened, 3.0)
    closed = close(r, opened)
    assert [u.hospital for u in closed.cohort] == ["a", "b"]
    assert closed.refused == []


def test_killed_before_the_outbox_the_round_is_trained_again(rehearsal, monkeypatch):
    r = rehearsal("a")
    opened = begin(r)
    trainer = r.start()
    monkeypatch.setattr(Outbox, "seal", die)
    with pytest.raises(LogUnavailableError):
        trainer.take_part(opened)
    monkeypatch.undo()
    trainer = r.start()
    trainer.take_part(opened)
    assert Outbox(r.folder).attempts().total == 2


def test_a_damaged_outbox_is_made_good_by_training_again(rehearsal, monkeypatch):
    r = rehearsal("a")
    opened = begin(r)
    trainer = r.start()
    monkeypatch.setattr(trainer.uplink, "send", die)
    with pytest.raises(LogUnavailableError):
        trainer.take_part(opened)
    (r.folder / "1.safetensors").write_bytes(model_file(9.0))
    r.start().take_part(opened)
    closed = close(r, opened)
    assert [u.sha256 for u in closed.cohort] == [describe([model_file(1.0)]).sha256]
    assert closed.refused == []


def test_who_was_dropped_says_that_it_is_back_so_that_the_next_round_waits(rehearsal):
    r = rehearsal("a", "b", rounds={"count": 3, "deadlineSeconds": 1})
    opened = begin(r)
    r.world.clinics["b"].send(opened)
    assert close(r, opened).dropped == ["a"]
    trainer = r.start()
    second = r.world.aggregator.open_round()
    assert second.hospitals == ["b"]
    assert next_of(trainer) == second
    trainer.take_part(second)
    assert [message.type for message in said(r)] == ["Joined", "Update"]


def test_what_was_trained_while_the_log_was_away_is_recorded_as_stale(rehearsal, monkeypatch):
    r = rehearsal("a", "b", rounds={"count": 3, "deadlineSeconds": 1})
    opened = begin(r)
    cut_off = r.start()
    monkeypatch.setattr(cut_off.uplink, "send", die)
    with pytest.raises(LogUnavailableError):
        cut_off.take_part(opened)
    r.world.clinics["b"].send(opened)
    assert close(r, opened).cohort[0].hospital == "b"
    second = r.world.aggregator.open_round()
    back = r.start()
    back.take_part(next_of(back))
    r.world.clinics["b"].send(second)
    closed = close(r, second)
    assert [(each.hospital, each.reason) for each in closed.refused] == [("a", "Stale")]
    assert [each.hospital for each in closed.cohort] == ["a", "b"]


def test_an_update_that_counted_is_not_called_stale_by_who_died_before_noting_that_it_was_sent(rehearsal, monkeypatch):
    r = rehearsal("a")
    opened = begin(r)
    trainer = r.start()
    monkeypatch.setattr(Outbox, "mark_sent", die)
    with pytest.raises(LogUnavailableError):
        trainer.take_part(opened)
    monkeypatch.undo()
    close(r, opened)
    second = r.world.aggregator.open_round()
    back = r.start()
    back.take_part(next_of(back))
    assert close(r, second).refused == []


def test_what_is_over_is_skipped(rehearsal):
    r = rehearsal("a", "b", rounds={"count": 3, "deadlineSeconds": 1})
    opened = begin(r)
    trainer = r.start()
    following = trainer.follow()
    assert next(following) == opened
    r.world.clinics["b"].send(opened)
    close(r, opened)
    second = r.world.aggregator.open_round()
    assert next(following) == second
    trainer.take_part(opened)
    assert r.learner.trained == []


def test_a_closed_rounds_update_leaves_the_outbox(rehearsal):
    r = rehearsal("a")
    opened = begin(r)
    trainer = r.start()
    following = trainer.follow()
    trainer.take_part(next(following))
    assert (r.folder / "1.safetensors").exists()
    close(r, opened)
    r.world.aggregator.open_round()
    next(following)
    assert [path.name for path in r.folder.iterdir()] == ["attempts.json"]


def test_no_metric_leaves_that_was_not_asked_for_or_is_no_number(rehearsal):
    stop = [{"metric": "loss", "operator": "LessOrEqual", "value": "0"}]
    r = rehearsal("a", evaluation={"metrics": ["auc", "brier"], "stopWhen": stop})
    r.learner.metrics = {"auc": 0.5, "brier": float("nan"), "loss": 0.25, "patients": 12.0}
    opened = begin(r)
    r.start().take_part(opened)
    assert close(r, opened).cohort[0].metrics == {"auc": 0.5, "loss": 0.25}


@pytest.mark.parametrize(("every", "evaluated"), [(0, []), (1, [1, 2, 3, 4, 5]), (2, [1, 3, 5]), (3, [1, 4])])
def test_the_global_model_is_evaluated_every_so_many_rounds(rehearsal, every, evaluated):
    r = rehearsal("a", evaluation={"everyRounds": every, "metrics": ["loss"]}, rounds={"count": 5})
    opened, trainer, found = begin(r), r.start(), []
    for number in range(1, 6):
        trainer.take_part(opened)
        if close(r, opened).cohort[0].metrics:
            found.append(number)
        if number < 5:
            opened = r.world.aggregator.open_round()
    assert found == evaluated


def test_an_update_of_another_size_than_the_layouts_never_leaves(rehearsal, monkeypatch):
    r = rehearsal("a")
    opened = begin(r)
    monkeypatch.setattr(r.learner, "train", lambda number, model: [model_file()[:-4]])
    with pytest.raises(TaskError, match=r"the trained model has \d+ bytes, its layout \d+"):
        r.start().take_part(opened)
    assert [message.type for message in said(r)] == ["Joined"]


@pytest.mark.parametrize("digest", ["config_digest", "roster_digest"])
def test_another_configuration_than_agreed_is_refused(rehearsal, digest):
    r = rehearsal("a")
    opened = begin(r).model_copy(update={digest: "sha256:" + "0" * 64})
    with pytest.raises(RefusedMessage) as caught:
        r.start().take_part(opened)
    assert caught.value.reason is Refusal.WRONG_JOB
    assert r.learner.trained == []


def test_a_forged_round_is_passed_over(rehearsal):
    r = rehearsal("a")
    opened = begin(r)
    value, headers = encode(opened.model_copy(update={"round": 7}), r.world.keys["a"])
    with r.world.clinics["a"].producer.transaction() as transaction:
        transaction.append(topics.rounds("job"), value, headers=headers)
        transaction.append(topics.rounds("job"), b"rubbish", headers={SIGNATURE: "AAAA"})
    assert next_of(r.start()) == opened


def test_the_final_model_is_evaluated_when_asked(rehearsal):
    r = rehearsal("a", rounds={"count": 1, "deadlineSeconds": 1})
    opened = begin(r)
    trainer = r.start()
    trainer.take_part(opened)
    model = close(r, opened).model
    trainer.report(EvaluationOpened(job="job", round=1, model=model, hospitals=["a"], deadline=0.0))
    assert r.world.aggregator.evaluate() == {"a": {"loss": 0.5}}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TaskError("no"), "TaskFailed"),
        (KeyError("Erika Mustermann"), "TaskFailed"),
        (DivergedError("the loss became nan."), "Diverged"),
        (DataError("the disk is gone"), "DataUnavailable"),
    ],
)
def test_whoever_fails_says_so_in_one_word(rehearsal, monkeypatch, error, reason):
    r = rehearsal("a")
    begin(r)

    def failing(number, model):
        raise error

    monkeypatch.setattr(r.learner, "train", failing)
    with pytest.raises(type(error)):
        run(r.start())
    assert [message.reason for message in said(r) if isinstance(message, Left)] == [reason]


def test_a_trainer_that_comes_after_the_last_word_goes_home(rehearsal):
    r = rehearsal("a", rounds={"count": 1, "deadlineSeconds": 1})
    opened = begin(r)
    r.start().take_part(opened)
    close(r, opened)
    finished = r.world.aggregator.succeed({})
    assert run(r.start()) == finished
    assert r.learner.trained == [1]


def test_a_log_that_is_away_for_a_while_is_no_reason_to_leave(rehearsal, monkeypatch):
    r = rehearsal("a")
    begin(r)
    trainer = r.start()
    monkeypatch.setattr(trainer.uplink, "send", die)
    with pytest.raises(LogUnavailableError):
        run(trainer)
    assert not any(isinstance(message, Left) for message in said(r))


def test_a_joining_hospital_says_what_it_has(rehearsal):
    r = rehearsal("a")
    r.start().join()
    (joined,) = said(r)
    assert isinstance(joined, Joined)
    assert joined.samples == 10
