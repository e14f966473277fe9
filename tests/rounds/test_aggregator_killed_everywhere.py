"""The aggregator is killed before and after everything that it does to its log; the job comes to the same end."""

from contextlib import suppress
from pathlib import Path

import pytest
from plug import Plug, Plugged, Pulled
from worlds import World, make_job

from consilia.errors import LogAccessError
from consilia.log import follow, topics
from consilia.wire.messages import EvaluationOpened, JobFinished, RoundClosed, RoundOpened, from_aggregator
from consilia_workers.aggregator import Aggregator, run

NEVER = 1_000_000
SPEC = {
    "rounds": {"count": 2, "deadlineSeconds": 60},
    "aggregation": {"strategy": "FedAvgM"},
    "evaluation": {"metrics": ["auc"]},
}


class Play(World):
    """The hospitals answer whatever the aggregator said last, once, whenever it waits."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.answered: set[str] = set()

    def new_aggregator(self) -> None:
        """Not yet: even the first model is published under threat."""

    def answer(self) -> None:
        records = list(follow(self.logs[0], topics.rounds("job"), 0))
        match from_aggregator(records[-1], key=self.roster.aggregator, job="job") if records else None:
            case None:
                self._once("joined", lambda clinic: clinic.join())
            case RoundOpened() as opened:
                self._once(opened.round, lambda clinic: clinic.send(opened, opened.round + ord(clinic.identity.name)))
            case EvaluationOpened() as opened:
                self._once("evaluated", lambda clinic: clinic.evaluate(2, opened.model.sha256, auc=0.5))

    def _once(self, what, act) -> None:
        if what not in self.answered:
            self.answered.add(what)
            for clinic in self.clinics.values():
                act(clinic)

    def run(self, plug: Plug) -> JobFinished:
        log = Plugged(self.open(), plug, self.answer)
        return run(Aggregator(self.job, log, self.keys["aggregator"], self.roster, self._initial))


class RefusedError(LogAccessError):
    """By a broker that came back and does not know its users yet."""

    def __init__(self) -> None:
        super().__init__("there is no such user, or the password is wrong.")


def outcome(folder: Path, at: int, death: type[BaseException] = Pulled) -> tuple[Plug, JobFinished, list[RoundClosed]]:
    """A whole job, its aggregator killed once."""
    folder.mkdir()
    play, plug = Play(folder, make_job(["a", "b"], **SPEC)), Plug(at, death)
    with suppress(death):
        play.run(plug)
    finished = play.run(Plug(NEVER))
    closed = [message for message in play.said() if isinstance(message, RoundClosed)]
    assert sum(isinstance(message, JobFinished) for message in play.said()) == 1
    play.close()
    return plug, finished, closed


@pytest.mark.slow
@pytest.mark.parametrize(("death", "step"), [(Pulled, 1), (RefusedError, 3)])
def test_wherever_the_aggregator_is_killed_or_refused_the_job_comes_to_the_same_end(death, step, tmp_path):
    undisturbed, finished, closed = outcome(tmp_path / "undisturbed", NEVER)
    assert (finished.outcome, finished.metrics) == ("Succeeded", {"a": {"auc": 0.5}, "b": {"auc": 0.5}})
    assert undisturbed.moments > 100
    for at in range(1, undisturbed.moments + 1, step):
        _, again, closed_again = outcome(tmp_path / str(at), at, death)
        assert again == finished, at
        assert [(c.round, c.cohort, c.model, c.refused) for c in closed_again] == [
            (c.round, c.cohort, c.model, c.refused) for c in closed
        ], at
