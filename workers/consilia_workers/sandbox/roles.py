"""What is run confined: describing a task without data, reading data without anything else, learning in the dark.

The describer sees no data, so nothing that it says can hold any. The reader sees the data and is heard by the trainer
only: what it says is taken for records, and each counts for one. The learner sees the data and answers with a model, of
which the trainer lets out a clipped difference with noise on it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils import _pytree as pytree
from torch.utils.data import Dataset, TensorDataset

from consilia.api import FederatedJob
from consilia.errors import DataError, TaskError
from consilia_workers.learner import load_entrypoint, make_learner
from consilia_workers.privacy.tracing import describe
from consilia_workers.sandbox.frames import describe_array
from consilia_workers.sandbox.keeper import Serve
from consilia_workers.source import DataSource, Split
from consilia_workers.task import Batch, Task
from consilia_workers.training import batches
from consilia_workers.training.guard import guarded
from consilia_workers.training.seeds import seed_all, seed_for
from consilia_workers.training.torch_learner import prepared_model

AT_ONCE = 1 << 30
"""A split of no more bytes than this is handed over whole; of a larger one, batch by batch."""
_LOOKED_AT = 16
Answer = tuple[dict[str, Any], Sequence[bytes | memoryview]]


def describer(job: FederatedJob) -> Serve:
    """Answers any question with the task's graph as JSON."""

    def serve(_question: dict[str, Any], _body: object) -> Answer:
        return {}, [describe(_task(job)).to_json().encode()]

    return serve


def reader(job: FederatedJob, source: DataSource) -> Serve:
    """Answers `open` with what a split is, `take` with records of it, `patients` with whose each of them is."""
    task, opened = _task(job), {}

    def serve(question: dict[str, Any], body: bytes | bytearray | memoryview) -> Answer:
        split = Split(question["split"])
        if split not in opened:
            opened[split] = guarded("data()", task.data, source, split)
            batches.refuse_other_than_datasets(opened[split], source.hospital)
        match question["ask"]:
            case "open":
                return {"records": batches.size(opened[split]), "whole": _fits(opened[split])}, []
            case "take":
                rows = np.frombuffer(body, dtype="<i8") if question["some"] else None
                return _as_frame(_taken(opened[split], rows))
            case _:
                return _patients(task, source, split, batches.size(opened[split]))

    return serve


def learner(job: FederatedJob, source: DataSource) -> Serve:
    """Answers `open`, `train` and `evaluate`, as any learner does; what it sees, its answers may hold."""
    learner = make_learner(job, source)

    def serve(question: dict[str, Any], body: bytes | bytearray | memoryview) -> Answer:
        match question["ask"]:
            case "open":
                return {"records": learner.samples()}, [learner.layout.header]
            case "train":
                return {}, list(learner.train(question["round"], bytearray(body)))
            case _:
                return {"metrics": learner.evaluate(bytearray(body))}, []

    return serve


def _task(job: FederatedJob) -> Task:
    """The job's task, its model as the job wants it."""
    found = load_entrypoint(job.spec.task.entrypoint)
    if not (isinstance(found, type) and issubclass(found, Task)):
        message = f"{job.spec.task.entrypoint} is not a Task class, which differential privacy by DPSGD needs."
        raise TaskError(message, remedy="Derive it from consilia_workers.task.Task, or use mechanism: Gaussian.")
    task = guarded("__init__(parameters)", found, job.spec.task.parameters or {})
    original = task.model

    def seeded() -> nn.Module:
        # As for the initial model: what stays at each hospital, such as a random buffer, is to be the same at all.
        seed_all(seed_for(job.spec.training.seed, "initial"))
        return prepared_model(original(), job.spec.privacy)

    task.model = seeded  # type: ignore[method-assign]
    return task


def _fits(dataset: Dataset[Batch]) -> bool:
    """Whether all records can be handed over at once, as far as the first ones tell."""
    first = _taken(dataset, np.arange(min(batches.size(dataset), _LOOKED_AT)))
    size = sum(
        leaf.numel() * leaf.element_size() for leaf in pytree.tree_leaves(first) if isinstance(leaf, torch.Tensor)
    )
    return size * batches.size(dataset) <= AT_ONCE * min(batches.size(dataset), _LOOKED_AT)


def _taken(dataset: Dataset[Batch], rows: "np.ndarray | None") -> Batch:
    """Some records, or all, as one batch."""
    if type(dataset) is TensorDataset:
        return list(dataset.tensors) if rows is None else [tensor[torch.from_numpy(rows)] for tensor in dataset.tensors]
    chosen = np.arange(batches.size(dataset)) if rows is None else rows
    if len(chosen) == 0:  # chance may take nobody: a batch of no records has the shapes of others all the same
        return pytree.tree_map(lambda leaf: leaf[:0], _taken(dataset, np.zeros(1, dtype=np.int64)))
    return torch.utils.data.default_collate([guarded("dataset", dataset.__getitem__, int(row)) for row in chosen])


def _as_frame(batch: Batch) -> Answer:
    """A tensor, or a list, tuple or dict of tensors; how they lie is told by their places alone."""
    match batch:
        case torch.Tensor():
            leaves, keys = [batch], None
        case dict():
            leaves, keys = list(batch.values()), [str(key) for key in batch]
        case list() | tuple():
            leaves, keys = list(batch), [str(place) for place in range(len(batch))]
        case _:
            leaves, keys = [batch], None
    if not all(isinstance(leaf, torch.Tensor) for leaf in leaves):
        message = f"the task's records collate to a {type(batch).__name__} with more than tensors in it."
        raise DataError(message, remedy="Give records that are tensors, or flat tuples or dicts of tensors.")
    arrays = [np.ascontiguousarray(leaf.detach().cpu().numpy()) for leaf in leaves]
    head = {"keys": keys, "table": isinstance(batch, dict), "arrays": [describe_array(array) for array in arrays]}
    return head, [array.tobytes() for array in arrays]


def _patients(task: Task, source: DataSource, split: Split, records: int) -> Answer:
    """Whose each record is, as numbers from 0; {} if the task does not say."""
    found = guarded("patients()", task.patients, source, split)
    if found is None:
        return {"told": False}, []
    names = list(found)
    if len(names) != records:
        message = f"the task's patients() names {len(names)} patients for {records} records."
        raise DataError(message, remedy="Give one for each record, in the records' order.")
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return {"told": True}, [np.array([numbers[name] for name in names], dtype="<i8").tobytes()]
