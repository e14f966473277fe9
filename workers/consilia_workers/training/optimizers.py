"""The local optimizer, made anew each round from the job's spec."""

from typing import Any

import torch
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

from consilia.api import OptimizerSpec


def make_optimizer(spec: OptimizerSpec, groups: list[dict[str, Any]], factor: float) -> Optimizer:
    """The optimizer over the task's parameter groups, every learning rate multiplied by the round's `factor`."""
    rate = float(spec.learning_rate)
    scaled = [{**group, "lr": float(group.get("lr", rate)) * factor} for group in groups]
    decay = float(spec.weight_decay)
    betas = (float(spec.beta1), float(spec.beta2))
    match spec.name:
        case "SGD":
            return SGD(scaled, momentum=float(spec.momentum), weight_decay=decay, nesterov=spec.nesterov)
        case "Adam":
            return Adam(scaled, betas=betas, weight_decay=decay)
        case "AdamW":
            return AdamW(scaled, betas=betas, weight_decay=decay)
        case "RMSprop":
            return RMSprop(scaled, momentum=float(spec.momentum), weight_decay=decay)
        case "Adagrad":
            return Adagrad(scaled, weight_decay=decay)


class ProximalTerm:
    """FedProx (Li et al. 2020, equation 2): pulls the local parameters towards the round's global ones."""

    def __init__(self, model: torch.nn.Module, mu: float) -> None:
        """Remembers the parameters as they are now; with `mu` 0 it does nothing and keeps nothing."""
        self._mu = mu
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad] if mu else []
        self._pairs = [(parameter, parameter.detach().clone()) for parameter in parameters]

    @torch.no_grad()
    def add_gradient(self) -> None:
        """Add the gradient of mu/2 times the squared distance, between backward and step."""
        for parameter, anchor in self._pairs:
            if parameter.grad is not None:
                parameter.grad.add_(parameter - anchor, alpha=self._mu)
