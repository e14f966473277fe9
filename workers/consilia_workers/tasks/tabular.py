"""What the ready-made tasks share: one row of numbers a patient, and a yes or no to predict."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import TensorDataset

from consilia.errors import DataError, TaskError
from consilia_workers.datasets import sites
from consilia_workers.task import Batch, DataSource, Task


class BinaryTabular(Task):
    """A task whose model maps features (n, d) to one logit a patient (n, 1), and whose items are (features, label)."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Cross-entropy between the predicted probability and the label."""
        features, labels = batch
        return binary_cross_entropy_with_logits(model(features).squeeze(1), labels)

    def predict(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """The predicted probability and the label of each patient."""
        features, labels = batch
        return torch.sigmoid(model(features).squeeze(1)), labels


def as_dataset(features: NDArray[np.floating], labels: NDArray[np.generic]) -> TensorDataset:
    """Features (n, d) and labels (n,) as float32 tensors."""
    return TensorDataset(torch.from_numpy(features.astype(np.float32)), torch.from_numpy(labels.astype(np.float32)))


def site_of(source: DataSource, dataset: str) -> str:
    """Which of the data set's sites this hospital is: the parameter `site`, or else the hospital's own name.

    Raises:
        DataError: the data set has no such site.
    """
    site = source.parameters.get("site", source.hospital)
    if site not in sites(dataset):
        raise DataError(
            f"{dataset} has no site {site!r}.",
            remedy=f"Name the hospital, or the parameter `site` of its Dataset, one of: {', '.join(sites(dataset))}.",
        )
    return site


def file_of(source: DataSource, dataset: str, name: str) -> Path:
    """The path of one file of the data set in the hospital's data folder.

    Raises:
        DataError: no folder is given, or the file is not in it.
    """
    remedy = f"Get it with `consilia data get {dataset}`, or set CONSILIA_DATA to the folder that holds it."
    if source.path is None:
        raise DataError(f"{dataset} at {source.hospital}: no data folder is given.", remedy=remedy)
    if not (path := source.path / name).is_file():
        raise DataError(f"{path} is missing.", remedy=remedy)
    return path


def damaged(path: Path, dataset: str, what: str) -> DataError:
    """The error for a file that is there but is not what it should be."""
    return DataError(f"{path} is damaged: {what}.", remedy=f"Get it anew with `consilia data get {dataset}`.")


def coded(answers: NDArray[np.bool_], parameters: Mapping[str, Any]) -> NDArray[np.float64]:
    """Answers to yes-or-no questions as numbers, by the task's parameter `answers`; shape as given.

    "counted" (the default) makes them 1 and 0. "centred" makes them a half more and less than nothing: then most
    columns are no longer nearly the same, gradients point less in one direction, and more of what differential privacy
    clips and drowns is signal. Neither looks at any data.

    Raises:
        TaskError: the parameter is something else.
    """
    how = parameters.get("answers", "counted")
    if how not in {"counted", "centred"}:
        raise TaskError(f"The task's parameter answers is {how!r}.", remedy='Set it to "counted" or "centred".')
    return answers.astype(np.float64) - (0.5 if how == "centred" else 0.0)


def whole_number(parameters: Mapping[str, Any], name: str, *, default: int, bounds: tuple[int, int]) -> int:
    """One of the task's parameters, a whole number between the bounds, both included.

    Raises:
        TaskError: it is something else.
    """
    lowest, highest = bounds
    value = parameters.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise TaskError(
            f"The task's parameter {name} is {value!r}.", remedy=f"Set it to a whole number from {lowest} to {highest}."
        )
    return value
