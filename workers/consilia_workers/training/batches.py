"""Batches of one epoch, in an order that follows from the generator alone."""

from collections.abc import Iterator, Sequence, Sized
from typing import Any, cast

import torch
from torch.utils.data import BatchSampler, ConcatDataset, DataLoader, Dataset, IterableDataset, TensorDataset

from consilia.errors import TaskError
from consilia_workers.task import Batch
from consilia_workers.training.guard import guarded


def refuse_other_than_datasets(found: object, hospital: str) -> None:
    """What a task's data() gives must have a length and records by number.

    Raises:
        TaskError: it has not; says what to give instead.
    """
    what = f"the task's data() for {hospital} gave a {type(found).__name__}"
    if isinstance(found, tuple | torch.Tensor) or not hasattr(found, "__getitem__"):
        raise TaskError(f"{what}.", remedy="Give a map-style dataset, such as TensorDataset(features, targets).")
    if isinstance(found, IterableDataset) or not hasattr(found, "__len__"):
        raise TaskError(f"{what}, which has no length.", remedy="Read the records into a map-style dataset.")


def size(dataset: Dataset[Batch]) -> int:
    """How many records it has."""
    return len(cast("Sized", dataset))


def joined(datasets: list[Dataset[Batch]]) -> Dataset[Batch]:
    """One dataset of all records, in order."""
    if len(datasets) == 1:
        return datasets[0]
    if all(type(dataset) is TensorDataset for dataset in datasets):
        columns = zip(*(cast("TensorDataset", dataset).tensors for dataset in datasets), strict=True)
        return TensorDataset(*(torch.cat(column) for column in columns))
    return ConcatDataset(datasets)


def shuffled(
    dataset: Dataset[Batch], batch_size: int, generator: torch.Generator, *, smallest: int = 1
) -> Iterator[Batch]:
    """One epoch in random order; `batch_size` 0 is everything in one batch.

    A last, smaller batch is kept; with fewer than `smallest` records it is joined to the one before.
    """
    order = torch.randperm(size(dataset), generator=generator)
    indices = torch.split(order, batch_size or size(dataset))
    if len(indices) > 1 and len(indices[-1]) < smallest:
        indices = (*indices[:-2], torch.cat(indices[-2:]))
    return _taken(dataset, indices)


def in_order(dataset: Dataset[Batch], batch_size: int = 1024) -> Iterator[Batch]:
    """All records in their own order, for evaluation."""
    return _taken(dataset, torch.split(torch.arange(size(dataset)), batch_size))


def _taken(dataset: Dataset[Batch], indices: Sequence[torch.Tensor]) -> Iterator[Batch]:
    if type(dataset) is TensorDataset:  # whole rows at once: a hundred times faster than item by item
        return (dataset[cast("Any", rows)] for rows in indices)
    batches = cast("Any", [rows.tolist() for rows in indices])
    return _guarded(iter(DataLoader(dataset, batch_sampler=cast("BatchSampler", batches))))


def _guarded(loaded: Iterator[Batch]) -> Iterator[Batch]:
    end = object()
    while (batch := guarded("dataset", next, loaded, end)) is not end:
        yield batch


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with all its tensors on the device."""
    match batch:
        case torch.Tensor():
            return batch.to(device, non_blocking=True)
        case dict():
            return {key: on_device(value, device) for key, value in batch.items()}
        case tuple() if hasattr(batch, "_fields"):  # a named tuple takes its fields one by one
            return type(batch)(*(on_device(value, device) for value in batch))
        case list() | tuple():
            return type(batch)(on_device(value, device) for value in batch)
        case _:
            return batch.to(device) if hasattr(batch, "to") else batch
