"""A trainer is killed before and after everything that it does to its log and its disk; every update counts once."""

from contextlib import suppress
from pathlib import Path

import pytest
from plug import Plug, Plugged, Pulled, plug_disk
from rehearsal import Rehearsal
from worlds import World, make_job

from consilia.wire.messages import JobFinished, RoundClosed
from consilia_workers.learning import Learning
from consilia_workers.outbox import Outbox
from consilia_workers.trainer import Trainer, run
from consilia_workers.uplink import Uplink

NEVER = 1_000_000
ROUNDS = {"count": 2, "deadlineSeconds": 60}


class Play(Rehearsal):
    """With a plug in its log."""

    def run(self, plug: Plug) -> JobFinished:
        log = Plugged(self.world.open(), plug, self.push)
        uplink = Uplink(log, "job", self.world.keys[self.name])
        return run(
            Trainer(self.world.job, Learning(learner=self.learner), log, uplink, self.world.roster, Outbox(self.folder))
        )


def outcome(monkeypatch, folder: Path, at: int) -> tuple[Plug, list[RoundClosed]]:
    """A whole job, its only trainer killed once."""
    folder.mkdir()
    play, plug = Play(World(folder, make_job(["a"], rounds=ROUNDS)), "a"), Plug(at)
    with monkeypatch.context() as patched, suppress(Pulled):
        plug_disk(patched, plug)
        play.run(plug)
    assert play.run(Plug(NEVER)).outcome == "Succeeded"
    closed = [message for message in play.world.said() if isinstance(message, RoundClosed)]
    left_over = [path for path in play.folder.iterdir() if path.suffix != ".partial" and path.name != "attempts.json"]
    assert left_over == []
    play.world.close()
    return plug, closed


@pytest.mark.slow
def test_wherever_a_trainer_is_killed_each_of_its_updates_counts_once(tmp_path, monkeypatch):
    undisturbed, closed = outcome(monkeypatch, tmp_path / "undisturbed", NEVER)
    assert undisturbed.moments > 50
    for at in range(1, undisturbed.moments + 1):
        _, again = outcome(monkeypatch, tmp_path / str(at), at)
        assert [(c.round, [u.sha256 for u in c.cohort], c.model, c.refused) for c in again] == [
            (c.round, [u.sha256 for u in c.cohort], c.model, c.refused) for c in closed
        ], at
