"""The optimizer's steps of one round at one hospital."""

import torch
from torch import Tensor, nn

from consilia.api import TrainingSpec
from consilia.errors import DivergedError, TaskError
from consilia_workers.task import Batch, Task
from consilia_workers.training.batches import on_device
from consilia_workers.training.guard import guarded
from consilia_workers.training.optimizers import ProximalTerm, make_optimizer

_AUTOCAST = {"BFloat16": torch.bfloat16, "Float16": torch.float16}

_FIRST_SCALE = 1024.0


class Steps:
    """One round's optimizer, made anew, and how a batch becomes a step."""

    def __init__(self, task: Task, model: nn.Module, spec: TrainingSpec, *, factor: float) -> None:
        """`factor` is the round's part of the learning rate."""
        self._task, self._model = task, model
        self._device = next(model.parameters()).device
        self._optimizer = guarded(
            "parameter_groups()", lambda: make_optimizer(spec.optimizer, task.parameter_groups(model), factor)
        )
        self._proximal = ProximalTerm(model, float(spec.proximal_mu or 0))
        self._dtype = _AUTOCAST.get(spec.precision)
        # Half-precision gradients underflow without scaling; bfloat16 has float32's range and needs none. PyTorch's own
        # start, 65536, would lose the first steps of every round to overflow until it has come down.
        half = self._dtype is torch.float16
        self._scaler = torch.amp.GradScaler(self._device.type, init_scale=_FIRST_SCALE, enabled=half)

    def take(self, batch: Batch, where: str) -> None:
        """Forward, backward, step. `where` names round and step in errors.

        Raises:
            DivergedError: the loss is NaN or infinite.
            TaskError: the task's loss failed or is not one number.
        """
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._loss(on_device(batch, self._device))
        if not torch.isfinite(loss):
            remedy = "Lower the learning rate, or look for bad records."
            raise DivergedError(f"the loss became {loss.item()} in {where}.", remedy=remedy)
        guarded("loss", self._scaler.scale(loss).backward)
        self._scaler.unscale_(self._optimizer)
        self._proximal.add_gradient()
        self._scaler.step(self._optimizer)
        self._scaler.update()

    def _loss(self, batch: Batch) -> Tensor:
        with torch.autocast(self._device.type, self._dtype or torch.bfloat16, enabled=self._dtype is not None):
            return loss_of(self._task, self._model, batch)


def loss_of(task: Task, model: nn.Module, batch: Batch) -> Tensor:
    """The task's loss of one batch.

    Raises:
        TaskError: it failed or is not one number.
    """
    loss = guarded("loss()", task.loss, model, batch)
    if not isinstance(loss, Tensor) or loss.ndim != 0:
        shape = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise TaskError(f"the task's loss() gave {shape}, not one number.", remedy="Return the mean over the batch.")
    return loss
