"""A real trainer in the test's own process, in one of the `worlds` with its real aggregator and log."""

from dataclasses import dataclass, field
from pathlib import Path

from worlds import LAYOUT, World, model_file

from consilia.api import FederatedJob
from consilia_workers.learner import Learner, Pieces
from consilia_workers.learning import Learning
from consilia_workers.observers import UNOBSERVED, TrainerObserver
from consilia_workers.outbox import Outbox
from consilia_workers.trainer import Trainer
from consilia_workers.uplink import Uplink


class Counting(Learner):
    """Sets every number to that of the round, and remembers what it was asked."""

    layout = LAYOUT

    def __init__(self, job: FederatedJob) -> None:
        super().__init__(job, None)
        self.trained: list[int] = []
        self.metrics: dict[str, float] = {"loss": 0.5}

    def initial(self) -> Pieces:
        yield model_file()

    def samples(self) -> int:
        return 10

    def train(self, round_number: int, model: bytearray) -> Pieces:
        self.trained.append(round_number)
        yield model_file(float(round_number))

    def evaluate(self, model: bytearray | memoryview) -> dict[str, float]:
        return self.metrics


@dataclass
class Rehearsal:
    """One hospital of a world with a trainer of its own, which may be killed and started again."""

    world: World
    name: str
    learner: Counting = field(init=False)

    def __post_init__(self) -> None:
        self.learner = Counting(self.world.job)

    @property
    def folder(self) -> Path:
        return self.world.folder / self.name

    def push(self) -> None:
        """The aggregator does what it can; for whenever the trainer waits."""
        aggregator = self.world.aggregator
        standing, reception = aggregator._standing, aggregator._reception
        reception.read(standing.opened)
        if standing.finished:
            return
        if standing.opened:
            if reception.arrived:
                aggregator.close_round(standing.opened)
                self.push()
        elif not aggregator.rounds_left():
            aggregator.succeed({})
        elif reception.present:
            aggregator.open_round()

    def start(self, observer: TrainerObserver = UNOBSERVED) -> Trainer:
        """As after a start or a restart: nothing but the folder and the log is left of an older one."""
        log = self.world.open()
        uplink = Uplink(log, "job", self.world.keys[self.name])
        return Trainer(
            self.world.job,
            Learning(learner=self.learner),
            log,
            uplink,
            self.world.roster,
            Outbox(self.folder),
            observer,
        )
