"""Tasks and models that are legal PyTorch, but not what one writes every day; and some that are mistakes."""

import random
from collections import namedtuple
from typing import Any

import numpy as np
import torch
from made_up import Linear
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from consilia_workers.source import DataSource, Split

Row = namedtuple("Row", ["features", "target"])  # noqa: PYI024 (what DataLoader collates are plain namedtuples)


class Odd(nn.Module):
    """Four numbers in, one out; whatever else it has must survive the journey."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(features)


class Scalar(Odd):
    """A parameter without dimensions, and one without elements."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.nothing = nn.Parameter(torch.zeros(0, 3))

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * super().forward(features) + self.nothing.sum()


class Tied(Odd):
    """One layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.again = self.linear


class Strided(Odd):
    """A weight that does not lie in its memory in the order of its elements."""

    def __init__(self) -> None:
        super().__init__()
        self.linear.weight = nn.Parameter(torch.randn(4, 2).t()[:1])


class Extra(Odd):
    """State that is no tensor."""

    def get_extra_state(self) -> dict[str, int]:
        return {"version": 2}

    def set_extra_state(self, state: dict[str, int]) -> None:
        assert state == {"version": 2}


class Counting(nn.Sequential):
    """Batch normalisation whose average depends on an integer counter, which does not travel."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(4, 8), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 1))


class Remembering(Odd):
    """A buffer outside the state dict that grows with every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        self.seen += 1
        return super().forward(features) * self.seen


class Lazy(nn.LazyLinear):
    def __init__(self) -> None:
        super().__init__(1)


class Complex(Odd):
    def __init__(self) -> None:
        super().__init__()
        self.phase = nn.Parameter(torch.zeros(2, dtype=torch.complex64))


class Eight(Odd):
    def __init__(self) -> None:
        super().__init__()
        self.linear.weight = nn.Parameter(torch.zeros(1, 4).to(torch.float8_e5m2), requires_grad=False)


class Dropping(Linear):
    """Random layers, and records that are all the same: nothing else depends on chance."""

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))

    def data(self, source: DataSource, split: Split) -> Dataset[Any]:
        return TensorDataset(torch.ones(40, 4), torch.ones(40))


def with_model(kind: Any) -> type[Linear]:
    """`Linear` with another model."""

    class Other(Linear):
        def model(self) -> nn.Module:
            return kind()

    return Other


class Noisy(Linear):
    """Augmented by all the sources of randomness that people use."""

    class Records(Dataset[Any]):
        def __init__(self, inner: TensorDataset) -> None:
            self.inner = inner

        def __len__(self) -> int:
            return len(self.inner)

        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            features, target = self.inner[index]
            noise = random.gauss(0, 1) + np.random.normal() + torch.randn(())  # noqa: NPY002 (as people do)
            return features + noise, target

    def data(self, source: DataSource, split: Split) -> Dataset[Any]:
        inner = super().data(source, split)
        assert isinstance(inner, TensorDataset)
        return self.Records(inner)


class Named(Noisy):
    """Rows are named tuples."""

    class Records(Noisy.Records):
        def __getitem__(self, index: int) -> Row:
            return Row(*self.inner[index])


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        yield torch.zeros(4), torch.zeros(())


class Unsized(Dataset[Any]):
    def __getitem__(self, index: int) -> Any:
        return torch.zeros(4), torch.zeros(())


class Torn(Dataset[Any]):
    """Breaks at its third record."""

    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int) -> Any:
        return {0: torch.zeros(4), 1: torch.zeros(4)}[index]


def with_data(made: Any) -> type[Linear]:
    """`Linear` whose data() gives just this."""

    class Other(Linear):
        def data(self, source: DataSource, split: Split) -> Dataset[Any]:
            return made

    return Other


def with_predictions(answer: Any) -> type[Linear]:
    """`Linear` whose predict() gives what `answer` makes of scores and targets."""

    class Other(Linear):
        def predict(self, model: nn.Module, batch: Any) -> Any:
            return answer(*super().predict(model, batch))

    return Other


def with_metric(metric: Any) -> type[Linear]:
    """`Linear` with a metric of its own, called odd."""

    class Other(Linear):
        metrics = {"odd": metric}

    return Other
