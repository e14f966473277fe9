"""Every random choice in training follows from the job's seed, the party and the round, so it can be repeated."""

import random
from hashlib import sha256

import numpy as np
import torch


def seed_for(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed of its own for each purpose, for instance a hospital and a round."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(sha256(text.encode()).digest()[:8], "little") >> 1


def seed_all(seed: int) -> None:
    """Seed whatever a task may draw from: PyTorch on all devices, NumPy's old global generator, and Python's own."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (for tasks that use it; we do not)
    random.seed(seed)
