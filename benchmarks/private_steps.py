"""What a private step costs beside a plain one: CPU time of one core, batches of 256 made-up records.

    python -m benchmarks.private_steps [--batch 256] [--repeats 30] [--json]

`one batch` clips, sums and noises one physical batch of that size. `as trained` is what a trainer does: a Poisson
sample of that size in the mean, its records in random places among as many lanes as hardly any sample exceeds.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from time import process_time

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset, TensorDataset

from benchmarks.options import positive, progress
from consilia_workers.memory import PRIVATE_STEPS, reuse_freed_memory
from consilia_workers.privacy.dpsgd import PrivateSteps, capacity_for, choose_style
from consilia_workers.privacy.noise import SystemRandomness
from consilia_workers.privacy.private_learner import lanes
from consilia_workers.privacy.rebuilding import rebuild
from consilia_workers.privacy.tracing import describe
from consilia_workers.source import DataSource, Split
from consilia_workers.task import Batch, Task

RATE = 0.05


class _Classes(Task):
    """Ten classes of made-up pictures."""

    shape: tuple[int, ...] = (784,)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Cross-entropy."""
        features, labels = batch
        return cross_entropy(model(features), labels)

    def predict(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Probabilities and classes."""
        features, labels = batch
        return torch.softmax(model(features), 1), labels

    def data(self, source: DataSource, split: Split) -> Dataset[Batch]:
        """A batch of made-up pictures, record by record."""
        return TensorDataset(*self.batch(256))

    def batch(self, records: int) -> list[Tensor]:
        """Made-up pictures and classes."""
        return [torch.randn(records, *self.shape), torch.randint(0, 10, (records,))]


class Mlp(_Classes):
    """Three linear layers."""

    def model(self) -> nn.Module:
        """784-100-50-10: 84,060 parameters."""
        return nn.Sequential(nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 10))


class Cnn(_Classes):
    """Two convolutions on 28 x 28 pixels."""

    shape = (1, 28, 28)

    def model(self) -> nn.Module:
        """And a linear layer: 20,490 parameters."""
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(1568, 10),
        )


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Medians, in milliseconds of CPU; and as multiples of a plain step."""

    parameters: int
    style: str
    plain_ms: float
    one_batch_ms: float
    as_trained_ms: float
    one_batch: float
    as_trained: float


def measure(task: _Classes, batch: int, repeats: int) -> Ratio:
    """One model."""
    torch.manual_seed(0)
    model, records = task.model(), task.batch(batch)
    plain = timed(plain_step(task, model, records), repeats)
    isolated, randomness = rebuild(describe(task), lanes=batch), SystemRandomness()
    for parameter in isolated.module.parameters():
        nn.init.normal_(parameter, std=0.05)
    style = choose_style(isolated, task.batch(1), randomness=randomness, physical_batch=batch)

    def private(physical: int, capacity: int) -> PrivateSteps:
        return PrivateSteps(
            isolated,
            torch.optim.SGD(isolated.module.parameters(), lr=0.01),
            noise_multiplier=1.0,
            max_grad_norm=1.0,
            expected_batch_size=batch,
            randomness=randomness,
            style=style.style,
            physical_batch=physical,
            capacity=capacity,
        )

    population = round(batch / RATE)
    capacity = capacity_for(population, RATE)
    one, trained = private(batch, 0), private(lanes(capacity, sum(p.numel() for p in model.parameters())), capacity)
    everybody = task.batch(population)

    def step_as_trained() -> None:
        chosen = torch.from_numpy(randomness.poisson_mask(population, RATE))
        trained.take([leaf[chosen] for leaf in everybody])

    one_ms, trained_ms = timed(lambda: one.take(records), repeats), timed(step_as_trained, repeats)
    return Ratio(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        style=style.style,
        plain_ms=round(plain, 2),
        one_batch_ms=round(one_ms, 2),
        as_trained_ms=round(trained_ms, 2),
        one_batch=round(one_ms / plain, 2),
        as_trained=round(trained_ms / plain, 2),
    )


def plain_step(task: _Classes, model: nn.Module, records: list[Tensor]) -> Callable[[], None]:
    """Forward, backward, step."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        task.loss(model, records).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def timed(step: Callable[[], None], repeats: int) -> float:
    """The median CPU time of a step, in milliseconds."""
    found = []
    for _ in range(repeats + 3):
        start = process_time()
        step()
        found.append(1000 * (process_time() - start))
    return median(found[3:])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.private_steps", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--batch", type=positive, default=256, help="records")
    parser.add_argument("--repeats", type=positive, default=30)
    parser.add_argument("--json", action="store_true", help="one line, for scripts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    reuse_freed_memory(PRIVATE_STEPS)  # as a trainer does
    found: Mapping[str, Ratio] = {}
    for name, task in (("mlp", Mlp({})), ("cnn", Cnn({}))):
        progress(f"{name}: {options.repeats} steps of each kind")
        found = {**found, name: measure(task, options.batch, options.repeats)}
    figures = {name: asdict(ratio) for name, ratio in found.items()}
    print(json.dumps({"batch": options.batch, "models": figures}) if options.json else as_text(found))


def as_text(found: Mapping[str, Ratio]) -> str:
    """A line a model."""
    return "\n".join(
        f"{name} ({ratio.parameters} parameters, {ratio.style}): plain {ratio.plain_ms} ms, "
        f"one batch {ratio.one_batch} x, as trained {ratio.as_trained} x"
        for name, ratio in found.items()
    )


if __name__ == "__main__":
    main()
