"""Local training of a `Task` with PyTorch."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Self

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy
from torch.utils.data import Dataset

from consilia.api import FederatedJob, PrivacySpec
from consilia.errors import DataError, DivergedError, TaskError
from consilia.wire.layout import Layout, Tensor
from consilia_workers.learner import Learner, Pieces
from consilia_workers.privacy.batch_norm import without_batch_norm
from consilia_workers.source import DataSource, Split
from consilia_workers.task import Batch, Task
from consilia_workers.training import batches
from consilia_workers.training.device import choose_device
from consilia_workers.training.evaluation import evaluate, refuse_unknown_metrics
from consilia_workers.training.guard import guarded
from consilia_workers.training.schedule import learning_rate_factor
from consilia_workers.training.seeds import seed_all, seed_for
from consilia_workers.training.steps import Steps

_TRAVEL: Mapping[torch.dtype, np.dtype[Any]] = {
    torch.float64: np.dtype("<f8"),
    torch.float32: np.dtype("<f4"),
    torch.float16: np.dtype("<f2"),
}


class TorchLearner(Learner):
    """Trains one model on the data of one hospital, or, as a yardstick, of several together."""

    def __init__(self, task: Task, job: FederatedJob, sources: Sequence[DataSource]) -> None:
        """`sources` is empty where only the initial model is wanted.

        Raises:
            TaskError: the task's model is unusable, or the job wants a metric that the task lacks.
            DataError: the data is absent or not what the task expects.
        """
        super().__init__(job, sources[0] if sources else None)
        refuse_unknown_metrics(task, job.spec.evaluation.metrics)
        self._task, self.lower_is_better = task, task.lower_is_better
        self._party = "+".join(source.hospital for source in sources)
        self._model = self._fresh().to(choose_device(job.spec.training.device))
        self.layout = layout_of(self._model)
        travelling = {tensor.name for tensor in self.layout.tensors}
        # What stays begins each round as it was made: a hospital that starts again must come to the same bytes.
        self._staying = {name: b.clone() for name, b in self._model.named_buffers() if name not in travelling}
        self._smallest_batch = 2 if any(isinstance(layer, _BatchNorm) for layer in self._model.modules()) else 1
        self._splits = {split: self._load(sources, split) for split in Split} if sources else {}

    @classmethod
    def for_task(cls, found: object, job: FederatedJob, sources: Sequence[DataSource]) -> Self:
        """For what an entry point names.

        Raises:
            TaskError: it is no `Task`, or cannot be made from the job's parameters.
        """
        if not (isinstance(found, type) and issubclass(found, Task)):
            message = f"{job.spec.task.entrypoint} is not a Task class."
            raise TaskError(message, remedy="Derive it from consilia_workers.task.Task.")
        parameters = job.spec.task.parameters or {}
        return cls(guarded("__init__(parameters)", found, parameters), job, sources)

    def _load(self, sources: Sequence[DataSource], split: Split) -> Dataset[Batch]:
        loaded = [guarded(f"data() for {source.hospital}", self._task.data, source, split) for source in sources]
        for source, found in zip(sources, loaded, strict=True):
            batches.refuse_other_than_datasets(found, source.hospital)
        dataset = batches.joined(loaded)
        if batches.size(dataset) == 0:
            raise DataError(f"{self._party} has no records in its {split} split.")
        return dataset

    def _fresh(self) -> nn.Module:
        seed_all(seed_for(self.job.spec.training.seed, "initial"))
        return prepared_model(guarded("model()", self._task.model), self.job.spec.privacy)

    def initial(self) -> Pieces:
        """The freshly initialised model's file."""
        return self._file(self._fresh())

    def samples(self) -> int:
        """Records in the training split."""
        return batches.size(self._splits[Split.TRAIN])

    def train(self, round_number: int, model: bytearray) -> Pieces:
        """Load, take the round's steps, export."""
        self._read(model)
        spec = self.job.spec
        seed_all(seed_for(spec.training.seed, self._party, round_number, "layers"))
        factor = learning_rate_factor(spec.training.scheduler, round_number, spec.rounds.count)
        steps = Steps(self._task, self._model, spec.training, factor=factor)
        self._model.train()
        for number, batch in enumerate(self._round_batches(round_number), start=1):
            steps.take(batch, f"round {round_number}, step {number}")
        self._refuse_divergence(round_number)
        return self._file(self._model)

    def _round_batches(self, round_number: int) -> Iterator[Batch]:
        training = self.job.spec.training
        generator = torch.Generator().manual_seed(seed_for(training.seed, self._party, round_number, "order"))
        if training.local_steps:
            return islice(self._epochs(None, generator), training.local_steps)
        return self._epochs(training.local_epochs or 1, generator)

    def _epochs(self, count: int | None, generator: torch.Generator) -> Iterator[Batch]:
        records, batch_size = self._splits[Split.TRAIN], self.job.spec.training.batch_size
        done = 0
        while count is None or done < count:
            yield from batches.shuffled(records, batch_size, generator, smallest=self._smallest_batch)
            done += 1

    def _refuse_divergence(self, round_number: int) -> None:
        state = self._model.state_dict()
        for name in (tensor.name for tensor in self.layout.tensors):
            if not torch.isfinite(state[name]).all():
                message = f"{name} holds NaN or infinity after round {round_number}."
                raise DivergedError(message, remedy="Lower the learning rate, or look for bad records.")

    def evaluate(self, model: bytearray | memoryview) -> dict[str, float]:
        """The job's metrics over the test split."""
        self._read(model)
        return evaluate(self._task, self._model, self._splits[Split.TEST], self.job.spec.evaluation.reported())

    @torch.no_grad()
    def _read(self, model: bytearray | memoryview) -> None:
        read_model(self._model, self.layout, model)
        buffers = dict(self._model.named_buffers())
        for name, beginning in self._staying.items():
            buffers[name].copy_(beginning)

    def _file(self, model: nn.Module) -> Iterator[bytes | memoryview]:
        return model_pieces(model, self.layout)


def prepared_model(model: object, privacy: PrivacySpec | None) -> nn.Module:
    """What the task's model() gave, as the job trains it: the same at every party.

    Raises:
        TaskError: it is no module.
    """
    if not isinstance(model, nn.Module):
        raise TaskError(f"the task's model() gave a {type(model).__name__}, not a module.")
    return without_batch_norm(model) if privacy and privacy.replace_batch_norm else model


@torch.no_grad()
def read_model(module: nn.Module, layout: Layout, model: bytearray | memoryview) -> None:
    """Give the module the parameters and buffers of a model file."""
    state = module.state_dict()
    for name, array in layout.view(model).items():
        state[name].copy_(torch.from_numpy(array))


def model_pieces(module: nn.Module, layout: Layout) -> Iterator[bytes | memoryview]:
    """The module's model file, piece by piece."""
    state = module.state_dict()
    yield layout.header
    for tensor in layout.tensors:
        yield memoryview(state[tensor.name].detach().cpu().contiguous().numpy().reshape(-1)).cast("B")


def layout_of(model: nn.Module) -> Layout:
    """Every parameter and floating-point buffer of the model's state, tied ones once, under their first name.

    Integer buffers (counters) and state that is no tensor stay with each hospital.

    Raises:
        TaskError: there is nothing to train, or a dtype cannot travel.
    """
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    found: dict[int, Tensor] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        floating = isinstance(tensor, torch.Tensor) and tensor.is_floating_point()
        if id(tensor) not in found and (floating or name in trainable):
            found[id(tensor)] = _described(name, tensor, trainable=name in trainable)
    return Layout.of(list(found.values()))


def _described(name: str, tensor: torch.Tensor, *, trainable: bool) -> Tensor:
    if is_lazy(tensor):
        raise TaskError(f"the model's {name} has no shape yet.", remedy="Give the layer its input size.")
    if tensor.dtype not in _TRAVEL:
        message = f"the model's {name} is {str(tensor.dtype).removeprefix('torch.')}, which does not travel."
        raise TaskError(message, remedy="Keep parameters in float32 and set training.precision for the arithmetic.")
    return Tensor(name=name, dtype=_TRAVEL[tensor.dtype], shape=tuple(tensor.shape), trainable=trainable)
