"""What a trainer tells of itself, and that it leaves out what is the hospital's own."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry
from rehearsal import Rehearsal
from status_ports import letter

from consilia.errors import LogUnavailableError, QuorumError
from consilia.progress import TrainerProgress
from consilia_workers.outbox import Outbox
from consilia_workers.status.board import Board
from consilia_workers.status.trainer_metrics import Metrics
from consilia_workers.status.trainer_status import TrainerStatus, starting
from consilia_workers.trainer import run


class Witness:
    """The observer of a rehearsed trainer."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        world = rehearsal.world
        self.registry, self._key = CollectorRegistry(), world.roster.hospitals[rehearsal.name]
        first = starting(world.job, rehearsal.name, Outbox(rehearsal.folder).attempts().total)
        self._board = Board(world.keys[rehearsal.name], first)
        self.status = TrainerStatus(world.job, first, self._board, Metrics(self.registry))
        self.told: list[TrainerProgress] = []

    def __getattr__(self, name):
        """Passes on what the trainer tells, and notes what follows from it."""

        def tell(*words):
            getattr(self.status, name)(*words)
            self.told.append(self.now())

        return tell

    def now(self) -> TrainerProgress:
        answer = asyncio.run(self._board.newer(0, 0))
        assert answer is not None
        return TrainerProgress.model_validate_json(letter(answer, self._key))

    def value(self, metric: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(metric, {"job": "job", "hospital": "a", **labels})


@pytest.fixture
def rehearsal(world):
    return lambda **spec: Rehearsal(world("a", "b", **spec), "a")


def die(*_: object) -> None:
    raise LogUnavailableError("the plug is pulled")


def test_a_round_goes_from_training_to_sent(rehearsal):
    r = rehearsal()
    opened, witness = r.world.begin(), Witness(r)
    assert witness.now().state == "Starting"
    trainer = r.start(witness)
    trainer.take_part(opened)
    assert [(each.state, each.round) for each in witness.told] == [
        ("Training", 0), ("Training", 0), ("Training", 0), ("Sending", 0), ("Sending", 1),
    ]  # fmt: skip
    assert witness.value("consilia_trainer_attempts_total") == 1
    assert witness.value("consilia_trainer_updates_total") == 1
    assert witness.value("consilia_training_duration_seconds_count") == 1


def test_attempts_and_round_outlive_a_crash(rehearsal, monkeypatch):
    r = rehearsal()
    opened = r.world.begin()
    trainer = r.start(Witness(r))
    monkeypatch.setattr(Outbox, "seal", die)
    with pytest.raises(LogUnavailableError):
        trainer.take_part(opened)
    monkeypatch.undo()
    witness = Witness(r)
    assert witness.now().attempts == 1
    r.start(witness).take_part(opened)
    assert (witness.now().attempts, witness.now().round) == (2, 1)
    again = Witness(r)
    r.start(again).take_part(opened)
    assert (again.now().attempts, again.now().round) == (2, 1)
    assert again.value("consilia_trainer_updates_total") == 0


def test_the_last_round_is_known_again_although_the_outbox_is_empty(rehearsal):
    r = rehearsal(rounds={"count": 1, "deadlineSeconds": 60}, evaluation={"metrics": ["loss"]})
    opened = r.world.begin()
    r.start().take_part(opened)
    r.world.clinics["b"].send(opened)
    r.world.aggregator.collect(opened)
    r.world.aggregator.close_round(opened)
    r.world.aggregator.fail(QuorumError("enough"))
    witness = Witness(r)
    run(r.start(witness))
    assert witness.now().round == 1


def test_a_failure_is_told_without_the_errors_own_words(rehearsal):
    witness = Witness(rehearsal())
    witness.status.failed("TaskError")
    assert (witness.now().state, witness.now().message) == ("Failed", "TaskError")


def test_privacy_and_gpus_are_there_from_the_start_and_no_gpu_memory_without_a_gpu(rehearsal):
    witness = Witness(rehearsal(resources={"gpu": 2}))
    assert witness.value("consilia_privacy_epsilon_spent", dataset="none") == 0
    assert witness.value("consilia_trainer_gpus") == 2
    assert [m.samples for m in witness.registry.collect() if m.name == "consilia_gpu_memory_bytes"] == [[]]
