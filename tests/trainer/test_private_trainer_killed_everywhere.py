"""A private trainer is killed before and after everything it does to its log, its disk and its ledger."""

import random
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from ledgers import budget, content, open_ledger
from plug import Plug, Plugged, Pulled, plug_disk
from rehearsal import Counting, Rehearsal
from worlds import World, make_job, model_file

from consilia.errors import BudgetError, LedgerError
from consilia.ledger.journal import read_entries
from consilia.privacy.plan import make_plan
from consilia.wire.messages import JobFinished, RoundClosed
from consilia_workers.learning import Learning
from consilia_workers.outbox import Outbox
from consilia_workers.spending import Purse
from consilia_workers.trainer import Trainer, run
from consilia_workers.uplink import Uplink

NEVER = 1_000_000
ROUNDS = {"count": 3, "deadlineSeconds": 60}
PRIVACY = {"noiseMultiplier": "2", "sampleRate": "0.1"}
KILLS = 200


class Noisy(Counting):
    """Never the same twice, as noise has it."""

    def train(self, round_number, model):
        yield model_file(random.SystemRandom().random())


class Play(Rehearsal):
    """The aggregator does what it can whenever the trainer waits; the hospital has a ledger."""

    epsilon = "8"

    def __post_init__(self):
        self.learner = Noisy(self.world.job)

    def run(self, plug: Plug) -> JobFinished:
        log = Plugged(self.world.open(), plug, self.push)
        ledger = open_ledger(self.world.folder / "ledger")
        account = ledger.register("heart", content(), "Record")
        ledger.set_budget(account, budget(self.epsilon))
        purse = Purse(ledger, account, "job", make_plan(self.world.job.spec, 100))
        purse.open()
        learning = Learning(learner=self.learner, spending=purse)
        uplink = Uplink(log, "job", self.world.keys[self.name])
        return run(Trainer(self.world.job, learning, log, uplink, self.world.roster, Outbox(self.folder)))


def play_once(monkeypatch, folder: Path, at: int) -> tuple[Plug, list[RoundClosed]]:
    """A whole job, its only trainer killed once, then started again."""
    folder.mkdir()
    play, plug = Play(World(folder, make_job(["a"], rounds=ROUNDS, privacy=PRIVACY)), "a"), Plug(at)
    with monkeypatch.context() as patched, suppress(Pulled):
        plug_disk(patched, plug)
        play.run(plug)
    assert play.run(Plug(NEVER)).outcome == "Succeeded"
    closed = [message for message in play.world.said() if isinstance(message, RoundClosed)]
    play.world.close()
    return plug, closed


def check(folder: Path, closed: list[RoundClosed], kills: int) -> None:
    entries, _, _ = read_entries(folder / "ledger" / "ledger.jsonl")
    paid = {each.reservation: each.output for each in entries if each.type == "Committed"}
    charged = [each for each in entries if each.type == "Reserved"]
    counted = [update.sha256 for message in closed for update in message.cohort]
    assert len(counted) == 3
    assert sorted(counted) == sorted(set(paid.values()) & set(counted))  # each of them is on record, once
    assert len(charged) <= 3 + kills  # at most one attempt too much
    assert all(message.refused == [] for message in closed)
    for message in closed:
        (update,) = message.cohort
        assert float(update.epsilon or 0) > 0
        assert update.ledger is not None


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_wherever_a_private_trainer_is_killed_what_it_released_is_on_record(tmp_path, monkeypatch):
    undisturbed, closed = play_once(monkeypatch, tmp_path / "undisturbed", NEVER)
    check(tmp_path / "undisturbed", closed, 0)
    moments = list(range(1, undisturbed.moments + 1))
    assert len(moments) >= KILLS / 2
    for at in moments:
        _, again = play_once(monkeypatch, tmp_path / str(at), at)
        check(tmp_path / str(at), again, 1)


@pytest.fixture
def long_play(tmp_path):
    folder = tmp_path / "world"
    folder.mkdir()
    play = Play(World(folder, make_job(["a"], rounds={"count": 50, "deadlineSeconds": 60}, privacy=PRIVACY)), "a")
    yield play
    play.world.close()


def test_a_job_that_the_budget_does_not_afford_is_not_begun(long_play):
    long_play.epsilon = "0.9"

    with pytest.raises(BudgetError, match=r"affords \d+ of the job's 50 rounds"):
        long_play.run(Plug(NEVER))
    assert [each.type for each in read_entries(long_play.world.folder / "ledger" / "ledger.jsonl")[0]][-1] == "Denied"


def test_a_budget_that_is_lowered_on_the_way_ends_this_hospitals_part_and_the_others_hear_why(long_play):
    trained = long_play.learner.train

    def lower(round_number, model):
        if round_number == 3:
            ledger = open_ledger(long_play.world.folder / "ledger")
            ledger.set_budget(ledger.register("heart", content(), "Record"), budget("0.5"))
        return trained(round_number, model)

    long_play.learner.train = lower
    with pytest.raises(BudgetError, match="does not afford another"):
        long_play.run(Plug(NEVER))

    aggregator = long_play.world.aggregator
    aggregator._reception.read(aggregator._standing.opened)
    assert aggregator._standing.closed == 3
    assert aggregator._reception.left == {"a": "Exhausted"}


def test_a_ledger_that_was_put_back_is_told_by_what_the_log_has_seen_of_it(long_play):
    folder, trained = long_play.world.folder / "ledger", long_play.learner.train

    def die_in_round_3(round_number, model):
        if round_number == 1:
            shutil.copytree(folder, folder.with_name("monday"))
        if round_number == 3:
            raise Pulled
        return trained(round_number, model)

    long_play.learner.train = die_in_round_3
    with pytest.raises(Pulled):
        long_play.run(Plug(NEVER))
    shutil.rmtree(folder)
    folder.with_name("monday").rename(folder)
    long_play.learner.train = trained

    with pytest.raises(LedgerError, match="rolled back or replaced: others have seen entry"):
        long_play.run(Plug(NEVER))
    aggregator = long_play.world.aggregator
    aggregator._reception.read(aggregator._standing.opened)
    assert aggregator._reception.left == {"a": "LedgerDamaged"}
