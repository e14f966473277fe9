"""What a data scientist implements: a model, a loss, how to read the data, how to predict.

Everything else (rounds, optimizers, precision, devices, seeds, the log) is Consilia's. A task is one class:

    class Readmission(Task):
        def model(self):
            return nn.Linear(12, 1)

        def loss(self, model, batch):
            features, labels = batch
            return binary_cross_entropy_with_logits(model(features).squeeze(1), labels)

        def data(self, source, split):
            features, labels = read_my_table(source.path / f"{split}.csv")
            return TensorDataset(features, labels)

        def predict(self, model, batch):
            features, labels = batch
            return torch.sigmoid(model(features).squeeze(1)), labels

and is named in the job as `task.entrypoint: "package.module:Readmission"`.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.utils.data import Dataset

from consilia_workers.source import DataSource, Split
from consilia_workers.training.metrics import BINARY, LOWER_IS_BETTER, Metric

Batch = Any
"""What the dataset's items collate to: a tensor, or a tuple, list or dict of tensors."""


class Task(ABC):
    """One learning problem. Instances are made from the job's `task.parameters` and keep no state between rounds."""

    metrics: ClassVar[Mapping[str, Metric]] = BINARY
    """Metrics by name, each a function of (scores, targets) as numpy arrays; a job picks from them by name.
    `loss` is always there besides: the mean of `loss()` over the split."""
    lower_is_better: ClassVar[Collection[str]] = LOWER_IS_BETTER
    """The metrics for which a lower value is a better one."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        """`parameters` is the job's `task.parameters`, unchanged."""
        self.parameters = parameters

    @abstractmethod
    def model(self) -> nn.Module:
        """A freshly initialised model; called under the job's seed, so the same everywhere."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of one batch: a scalar tensor that can be differentiated."""

    @abstractmethod
    def data(self, source: DataSource, split: Split) -> Dataset[Batch]:
        """One hospital's records of one split: a map-style dataset whose items collate to a batch.

        Raises:
            DataError: the data is absent or not what the task expects; say which file or column and what to do.
        """

    def patients(self, source: DataSource, split: Split) -> Sequence[Hashable] | None:
        """Whose each record of `data` is, in its order; None if every patient has one record, or nobody can tell.

        Needed where a job's `privacy.unit` is `Patient`: all records of a patient then count as one.
        """
        return None

    @abstractmethod
    def predict(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Scores and targets of one batch: shapes (n,) and (n,), or (n, classes) and (n,) for more than two classes.

        Scores are probabilities; called without gradients and with the model in evaluation mode.
        """

    def parameter_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """What the optimizer is given; override to give some parameters their own learning rate or weight decay."""
        return [{"params": [parameter for parameter in model.parameters() if parameter.requires_grad]}]


__all__ = ["Batch", "DataSource", "Dataset", "Metric", "Split", "Task"]
