"""Made-up tasks and data for the training tests."""

from typing import Any

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss
from torch.utils.data import Dataset, TensorDataset

from consilia.api import FederatedJob
from consilia_workers.source import DataSource, Split
from consilia_workers.task import Task


class Linear(Task):
    """Least squares on four numbers; each hospital's data follow from its name."""

    def model(self) -> nn.Module:
        return nn.Linear(4, 1)

    def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
        features, targets = batch
        return mse_loss(model(features).squeeze(1), targets)

    def data(self, source: DataSource, split: Split) -> Dataset[Any]:
        generator = torch.Generator().manual_seed(sum(source.hospital.encode()) + (split is Split.TEST))
        features = torch.randn(34 + len(source.hospital), 4, generator=generator)
        noise = torch.randn(len(features), generator=generator)
        return TensorDataset(features, features @ torch.tensor([1.0, -2.0, 0.5, 0.0]) + 0.1 * noise)

    def predict(self, model: nn.Module, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        features, targets = batch
        return torch.sigmoid(model(features).squeeze(1)), (targets > 0).long()


class Normalised(Linear):
    """With dropout and batch normalisation: random layers, buffers, and an integer counter."""

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 1))


class Visits(Normalised):
    """Every patient has two records, but perhaps the last; and the model mixes patients unless that is taken out."""

    def patients(self, source: DataSource, split: Split) -> list[str]:
        return [f"patient {row // 2}" for row in range(34 + len(source.hospital))]


class OneClass(Linear):
    """All test targets are 1."""

    def predict(self, model: nn.Module, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        scores, targets = super().predict(model, batch)
        return scores, torch.ones_like(targets)


class Items(Linear):
    """A dataset that is no TensorDataset, with a dict for each record."""

    class Records(Dataset[Any]):
        def __init__(self, inner: TensorDataset) -> None:
            self.inner = inner

        def __len__(self) -> int:
            return len(self.inner)

        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            features, target = self.inner[index]
            return {"x": features, "y": target}

    def data(self, source: DataSource, split: Split) -> Dataset[Any]:
        inner = super().data(source, split)
        assert isinstance(inner, TensorDataset)
        return self.Records(inner)

    def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
        return super().loss(model, (batch["x"], batch["y"]))

    def predict(self, model: nn.Module, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return super().predict(model, (batch["x"], batch["y"]))


class BrokenLoss(Linear):
    """A mistake that everybody makes once: one loss a record."""

    def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
        features, targets = batch
        logits = model(features).squeeze(1)
        return binary_cross_entropy_with_logits(logits, (targets > 0).float(), reduction="none")


class Unsqueezed(Linear):
    """Another one: scores of shape (n, 1), which a comparison with (n,) targets would broadcast to (n, n)."""

    def predict(self, model: nn.Module, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        scores, targets = super().predict(model, batch)
        return scores.unsqueeze(1), targets


class BrokenData(Linear):
    """An ordinary bug."""

    def data(self, source: DataSource, split: Split) -> Dataset[Any]:
        return {"train": None}[source.hospital]  # type: ignore[return-value]


class Empty(Linear):
    """No records."""

    def data(self, source: DataSource, split: Split) -> Dataset[Any]:
        return TensorDataset(torch.zeros(0, 4), torch.zeros(0))


def training_job(
    made_up_task: type[Task] = Linear, *, rounds: int = 3, names: tuple[str, ...] = ("a",), **spec: Any
) -> FederatedJob:
    """A job for a task of this module; `spec` replaces whole sections."""
    whole = {
        "task": {"entrypoint": f"made_up:{made_up_task.__name__}"},
        "dataset": "made-up",
        "hospitals": {"names": list(names), "minReady": len(names), "minUpdates": 1},
        "rounds": {"count": rounds},
        "training": {"batchSize": 8, "optimizer": {"name": "SGD", "learningRate": "0.05"}, "seed": 3},
        "evaluation": {"metrics": ["loss", "auc"]},
        **spec,
    }
    return FederatedJob.model_validate(
        {"apiVersion": "consilia.dev/v1alpha1", "kind": "FederatedJob", "metadata": {"name": "job"}, "spec": whole}
    )
