"""Load now what PyTorch loads late."""

import torch

from consilia_workers.training import torch_learner


def preload() -> None:
    """Before children are forked: making the first optimizer imports the compiler, four seconds of CPU a process.

    Nothing here starts a thread; children of a process with threads would hang.
    """
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)


__all__ = ["preload", "torch_learner"]
