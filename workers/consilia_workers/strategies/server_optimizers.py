"""The server's optimizers: torch optimizers whose gradient is the pseudo-gradient `base - combined`.

FedAvgM is from Hsu et al. 2019, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
Classification", the others from Reddi et al. 2021, "Adaptive Federated Optimization".

Importing this module imports torch, so only a job that asks for a server optimizer pays for it.

Every step is made of single additions, multiplications, divisions and roots. These are rounded alike on every
processor, for every number of threads and wherever a block is cut; torch's fused ones (`add_(alpha=…)`, `addcdiv_`)
need not be.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from consilia_workers.strategies.interface import Block


@dataclass(frozen=True, slots=True)
class BlockOptimizer:
    """A torch optimizer that is set up for one block at a time, its state handed in and out."""

    slots: tuple[str, ...]
    """The names of its state tensors, as in `optimizer.state[parameter]`."""
    optimizer: Callable[[list[Tensor]], Optimizer]
    """Sets it up for some parameters."""

    def step(
        self, base: Block, combined: NDArray[np.float64], state: Mapping[str, Block] | None
    ) -> tuple[NDArray[np.float64], dict[str, Block]]:
        """The new parameters and state of one block; computed in float32, or in float64 for a float64 model."""
        precision = np.result_type(base.dtype, np.float32)
        parameter = torch.from_numpy(base.astype(precision))
        parameter.grad = torch.from_numpy((base - combined).astype(precision))
        optimizer = self.optimizer([parameter])
        if state is not None:
            optimizer.state[parameter] = {slot: torch.from_numpy(state[slot].astype(precision)) for slot in self.slots}
        optimizer.step()
        kept = optimizer.state[parameter]
        return parameter.numpy().astype(np.float64), {
            slot: kept[slot].numpy().astype(np.float32, copy=False) for slot in self.slots
        }


class ServerStep(Optimizer, ABC):
    """What the server's optimizers have in common: one step over every parameter that has a gradient."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters under the given options, the rest from the defaults.

        torch's own version says the same, but imports torch's compiler first: 3 s and 160 MB for the aggregator.
        """
        self.param_groups.append(self.defaults | param_group)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step; `closure`, if any, computes the loss and the gradients first."""
        with torch.enable_grad():
            loss = closure() if closure else None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.move(parameter, parameter.grad, self.state[parameter], group)
        return loss

    @abstractmethod
    def move(self, parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], options: Mapping[str, Any]) -> None:
        """Change `parameter` and `state` in place by one step against `gradient`."""


class FedAvgM(ServerStep):
    """Server momentum: v ← β·v + g, x ← x - η·v; what `torch.optim.SGD` does with `momentum`."""

    SLOTS = ("momentum_buffer",)

    def __init__(self, parameters: list[Tensor], /, *, learning_rate: float, momentum: float) -> None:
        """`learning_rate` is η, `momentum` is β."""
        super().__init__(parameters, {"lr": learning_rate, "momentum": momentum})

    def move(self, parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], options: Mapping[str, Any]) -> None:
        """One step of FedAvgM."""
        buffer = state.setdefault("momentum_buffer", torch.zeros_like(parameter))
        buffer.mul_(options["momentum"]).add_(gradient)
        parameter.sub_(buffer.mul(options["lr"]))


class FedAdagrad(ServerStep):
    """v ← v + g², x ← x - η·g / (√v + τ); v starts at τ².

    Reddi et al. 2021, Algorithm 2 with β₁ = 0, as in the paper's experiments; so there is no first moment to keep.
    """

    SLOTS = ("v",)

    def __init__(self, parameters: list[Tensor], /, *, learning_rate: float, tau: float) -> None:
        """`learning_rate` is η; `tau` is τ, the degree of adaptivity: the smaller, the more."""
        super().__init__(parameters, {"lr": learning_rate, "tau": tau})

    def move(self, parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], options: Mapping[str, Any]) -> None:
        """One step of FedAdagrad."""
        v = state.setdefault("v", torch.full_like(parameter, options["tau"] ** 2))
        v.add_(gradient.square())
        parameter.sub_(gradient.mul(options["lr"]).div_(v.sqrt().add_(options["tau"])))


class Adaptive(ServerStep):
    """m ← β₁·m + (1-β₁)·g, v ← by the subclass, x ← x - η·m / (√v + τ); v starts at τ², no bias correction.

    Reddi et al. 2021, Algorithm 2, whose Δ is -g.
    """

    SLOTS = ("m", "v")

    def __init__(
        self, parameters: list[Tensor], /, *, learning_rate: float, beta1: float, beta2: float, tau: float
    ) -> None:
        """`learning_rate` is η; `tau` is τ, the degree of adaptivity: the smaller, the more."""
        super().__init__(parameters, {"lr": learning_rate, "beta1": beta1, "beta2": beta2, "tau": tau})

    def move(self, parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], options: Mapping[str, Any]) -> None:
        """One step of Algorithm 2."""
        beta1, beta2, tau = options["beta1"], options["beta2"], options["tau"]
        m = state.setdefault("m", torch.zeros_like(parameter))
        v = state.setdefault("v", torch.full_like(parameter, tau**2))
        m.mul_(beta1).add_(gradient.mul(1 - beta1))
        self.accumulate(v, gradient.square(), beta2)
        parameter.sub_(m.mul(options["lr"]).div_(v.sqrt().add_(tau)))

    @abstractmethod
    def accumulate(self, v: Tensor, square: Tensor, beta2: float) -> None:
        """Take the squared gradient into `v`, in place."""


class FedAdam(Adaptive):
    """v ← β₂·v + (1-β₂)·g²."""

    def accumulate(self, v: Tensor, square: Tensor, beta2: float) -> None:
        """Average exponentially."""
        v.mul_(beta2).add_(square.mul_(1 - beta2))


class FedYogi(Adaptive):
    """v ← v - (1-β₂)·g²·sign(v - g²)."""

    def accumulate(self, v: Tensor, square: Tensor, beta2: float) -> None:
        """Move towards the square by a share of the square, not of the distance."""
        v.sub_((v - square).sign_().mul_(square).mul_(1 - beta2))
