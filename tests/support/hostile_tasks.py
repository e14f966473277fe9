"""Tasks that try to carry a patient out of the hospital, each by another way."""

import contextlib
import os
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from made_up import Linear
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from consilia_workers.source import DataSource, Split

SECRET = b"MRS-SMITH-HAS-IT"
"""Stands in the data; sixteen bytes, which four float32 numbers can hold."""
_NUMBERS = np.frombuffer(SECRET, dtype="<f4").copy()


class Reads(Linear):
    """Its data are on disk: a table of numbers, the secret among them."""

    def data(self, source: DataSource, split: Split) -> Dataset[Any]:
        assert source.path is not None
        table = torch.from_numpy(np.frombuffer((source.path / f"{split}.bin").read_bytes(), dtype="<f4").copy())
        rows = table.reshape(-1, 5)
        return TensorDataset(rows[:, :4], rows[:, 4])


class Prints(Reads):
    """By what it prints, and by the environment."""

    def data(self, source: DataSource, split: Split) -> Dataset[Any]:
        found = super().data(source, split)
        for stream in (sys.stdout, sys.stderr):
            print(SECRET.decode(), file=stream, flush=True)
        os.environ["LEAK"] = SECRET.decode()
        return found


class Raises(Reads):
    """By an exception's words, and by its name."""

    def data(self, source: DataSource, split: Split) -> Dataset[Any]:
        raise type(SECRET.decode().replace("-", "_"), (Exception,), {})(SECRET.decode())


class WritesFiles(Reads):
    """By files wherever it can, and over the network."""

    def data(self, source: DataSource, split: Split) -> Dataset[Any]:
        assert source.path is not None
        for folder in (Path("/tmp"), Path.cwd(), source.path, Path("/dev/shm"), Path.home()):
            with contextlib.suppress(OSError):
                (folder / "leak").write_bytes(SECRET)
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", 9), timeout=1)
        return super().data(source, split)


class Remembering(nn.Module):
    """A layer that copies what it sees into a buffer and into a parameter that is not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 1)
        self.register_buffer("memory", torch.zeros(4))
        self.frozen = nn.Parameter(torch.zeros(4), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        if not isinstance(features, torch.fx.Proxy):
            self.memory.copy_(features[0])
            self.frozen.data.copy_(features[0])
        return self.linear(features)


class WritesWeights(Reads):
    """By parameters and buffers that travel with the model."""

    def model(self) -> nn.Module:
        return Remembering()


class Patches(Reads):
    """By switching the noise off, wherever its code runs."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters)
        from consilia_workers.privacy.noise import SystemRandomness

        SystemRandomness.plus_normal = lambda self, values, std: values.copy()  # type: ignore[method-assign]


class Measures(Reads):
    """By its metrics: scores that are the records themselves."""

    metrics = {"secret": lambda scores, targets: float(_NUMBERS[0])}

    def predict(self, model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        features, targets = batch
        return features[:, 0] + 0 * model(features).squeeze(1), (targets > 0).long()


class Everything(Measures, WritesWeights, WritesFiles, Prints):
    """By all of these at once."""


def table(rows: int) -> bytes:
    """Made-up numbers; the first row is the secret."""
    numbers = np.random.default_rng(rows).normal(size=(rows, 5)).astype("<f4")
    numbers[0, :4] = _NUMBERS
    return numbers.tobytes()
