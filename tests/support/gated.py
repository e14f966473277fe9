"""A task that trains only while its hospital's gate stands open: a test holds a hospital in the middle of a round."""

from pathlib import Path
from time import sleep
from typing import Any

import torch
from made_up import Linear, training_job
from torch import nn
from torch.utils.data import Dataset

from consilia.api import FederatedJob
from consilia_workers.source import DataSource, Split


class Gate:
    """One hospital's, seen alike by the test and by its trainer."""

    def __init__(self, path: Path) -> None:
        self.path, self._held = path, path.with_suffix(".held")

    def close(self) -> None:
        self.path.touch()

    def open(self) -> None:
        self.path.unlink(missing_ok=True)

    @property
    def holds(self) -> bool:
        """Whether somebody stands before it."""
        return self._held.exists()

    def pass_through(self) -> None:
        """Wait until it is open."""
        while self.path.exists():
            self._held.touch()
            sleep(0.01)
        self._held.unlink(missing_ok=True)


class Gated(Linear):
    """Least squares, behind the gate that the parameter `gate` names."""

    def data(self, source: DataSource, split: Split) -> Dataset[Any]:
        self._gate = Gate(Path(source.parameters["gate"]))
        return super().data(source, split)

    def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
        if model.training:
            self._gate.pass_through()
        return super().loss(model, batch)


class Wide(Gated):
    """The same with 24 MB that nobody trains: an update, or a new model, takes a while to write."""

    def model(self) -> nn.Module:
        model = super().model()
        model.register_parameter("ballast", nn.Parameter(torch.zeros(6_000_000)))
        return model


def gated_job(
    name: str, names: tuple[str, ...], *, rounds: int, ready: int, deadline: int = 600, task: type[Gated] = Gated
) -> FederatedJob:
    """Who is late is dropped after `deadline` seconds if two updates are in; else the round is extended."""
    hospitals = {"names": list(names), "minReady": ready, "minUpdates": 2}
    job = training_job(names=names, hospitals=hospitals, task={"entrypoint": f"gated:{task.__name__}"})
    rules = {"count": rounds, "deadline_seconds": deadline, "on_straggler": "Drop", "max_extensions": 1000}
    spec = job.spec.model_copy(update={"rounds": job.spec.rounds.model_copy(update=rules)})
    return job.model_copy(update={"spec": spec, "metadata": job.metadata.model_copy(update={"name": name})})
