"""What the trainer drives: something that learns at one hospital.

The trainer knows `LocalLearner`; `Learner` is what a job's entry point can be. A `Task` (PyTorch) becomes a learner by
itself. Whoever brings another framework, or none, implements `Learner` instead and names it as the job's entry point;
the round protocol does not know the difference.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable

from consilia.api import FederatedJob
from consilia.errors import TaskError
from consilia.wire.layout import Layout
from consilia_workers.source import DataSource

Pieces = Iterable[bytes | memoryview]
"""The bytes of a model file in order, in pieces of any size."""


class LocalLearner(ABC):
    """Trains and evaluates one model on one hospital's data."""

    layout: Layout
    """How the model lies in bytes; the same at every party of the job."""
    lower_is_better: Collection[str] = ("loss",)
    """Its metrics for which a lower value is a better one."""

    @abstractmethod
    def samples(self) -> int:
        """How many records the training split has."""

    @abstractmethod
    def train(self, round_number: int, model: bytearray) -> Pieces:
        """Train from the model file `model` and give the trained model's file.

        The learner may change `model`, which is overwritten by the next round's.

        The same round, model and data give the same bytes again: a repeated attempt is no second opinion.

        Raises:
            DivergedError: training produced NaN or infinity.
            TaskError: the task's code failed.
        """

    @abstractmethod
    def evaluate(self, model: bytearray | memoryview) -> dict[str, float]:
        """The job's metrics of a model file on this hospital's test split; undefined ones are left out."""


class Learner(LocalLearner):
    """A `LocalLearner` that also makes the model that a job starts from, where no data is."""

    def __init__(self, job: FederatedJob, source: DataSource | None) -> None:
        """`source` is None where only the initial model is wanted."""
        self.job = job
        self.source = source

    @abstractmethod
    def initial(self) -> Pieces:
        """The model file to start from; the same bytes wherever it is made from the same job."""


def load_entrypoint(entrypoint: str) -> object:
    """The class that `package.module:Attribute` names.

    Raises:
        TaskError: no such module or attribute, or importing it failed.
    """
    module_name, _, attribute = entrypoint.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        remedy = "Install it, or start where it can be imported (the current folder is on the path)."
        raise TaskError(
            f"the task {entrypoint} cannot be imported: no module named {error.name}.", remedy=remedy
        ) from error
    except AttributeError as error:
        raise TaskError(
            f"the module {module_name} has no {attribute}.", remedy="Check spec.task.entrypoint."
        ) from error
    except (Exception, SystemExit) as error:
        raise TaskError(f"importing the task {entrypoint} failed: {type(error).__name__}: {error}") from error


def make_learner(job: FederatedJob, source: DataSource | None) -> Learner:
    """The learner for the job's entry point: the class itself if it is a `Learner`, else PyTorch training of a `Task`.

    Raises:
        TaskError: the entry point is neither, or its constructor failed.
    """
    found = load_entrypoint(job.spec.task.entrypoint)
    if isinstance(found, type) and issubclass(found, Learner):
        return found(job, source)
    from consilia_workers.training.torch_learner import TorchLearner  # noqa: PLC0415 (torch takes seconds to load)

    return TorchLearner.for_task(found, job, [source] if source else [])
