"""Where the arithmetic runs."""

import torch

from consilia.errors import TaskError


def choose_device(wanted: str) -> torch.device:
    """CUDA when present for Auto; the one asked for otherwise.

    Raises:
        TaskError: CUDA is asked for and absent.
    """
    if wanted == "CUDA" and not torch.cuda.is_available():
        remedy = "Ask for a GPU in spec.resources, or set training.device to Auto."
        raise TaskError("training.device is CUDA, but this process sees no CUDA device.", remedy=remedy)
    return torch.device("cuda" if wanted != "CPU" and torch.cuda.is_available() else "cpu")
