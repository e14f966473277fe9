"""Randomness for privacy: from the operating system's generator, stretched by AES, and never from a seed.

Noise of floating-point numbers can give away what it was added to, through the gaps between the values that a sampler
can take (Mironov 2012). Each Gaussian here is therefore half the sum of four, and each Laplace variable is made of four
uniform ones, so that the gaps are too small to be searched (Holohan and Braghin 2021, arXiv 2107.10138).
The Gaussians come from uniform numbers of 52 bits by the inverse error function.
"""

import math
import os
from collections.abc import Callable, Iterator

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from numpy.typing import NDArray

_BLOCK = 2**15
"""So many values at once, to stay within the cache."""
_ZEROS = bytes(8 * _BLOCK)


class SystemRandomness:
    """Independent draws, different in every instance and in every process; there is no way to repeat them.

    Not for several threads at once.
    """

    def __init__(self) -> None:
        self._process = -1
        self._stream: CipherContext
        self._words = np.empty(_BLOCK, np.uint64)

    def uniform(self, count: int) -> NDArray[np.float64]:
        """`count` uniform numbers between 0 and 1, both excluded: odd multiples of 2**-53."""
        out = np.empty(count)
        for block in _blocks(out):
            self._fill_uniform(block)
        return out

    def normal(self, count: int) -> NDArray[np.float64]:
        """`count` standard Gaussian numbers."""
        return self._summed(count, self._fill_inverted, terms=4, scale=math.sqrt(2) / 2)

    def laplace(self, count: int) -> NDArray[np.float64]:
        """`count` standard Laplace numbers (of scale 1).

        The product of the Gaussians of one Box-Muller pair is -log(u) cos(pi v); two such products add up to a Laplace
        variable.
        """
        return self._summed(count, self._fill_product, terms=2, scale=1.0)

    def poisson_mask(self, count: int, rate: float) -> NDArray[np.bool_]:
        """Which of `count` records a step takes: each with probability `rate`, independently of the others."""
        if not 0 <= rate <= 1:
            raise ValueError(f"a sampling rate of {rate}")
        return self.uniform(count) < rate

    def _summed(
        self, count: int, fill: Callable[[NDArray[np.float64]], None], *, terms: int, scale: float
    ) -> NDArray[np.float64]:
        out, term = np.empty(count), np.empty(min(count, _BLOCK))
        for block in _blocks(out):
            fill(block)
            for _ in range(terms - 1):
                fill(term[: len(block)])
                np.add(block, term[: len(block)], out=block)
            np.multiply(block, scale, out=block)
        return out

    def _fill_uniform(self, out: NDArray[np.float64]) -> None:
        np.add(self._words_of_52_bits(len(out)), 0.5, out=out, casting="unsafe")  # exact, and never 0 or 1
        out *= 2.0**-52

    def _fill_inverted(self, out: NDArray[np.float64]) -> None:
        """Gaussians of variance one half: the inverse error function of uniform numbers between -1 and 1."""
        np.add(self._words_of_52_bits(len(out)), 0.5 - 2.0**51, out=out, casting="unsafe")  # exact, and never -1 or 1
        out *= 2.0**-51
        values = torch.from_numpy(out)
        torch.erfinv(values, out=values)

    def _fill_product(self, out: NDArray[np.float64]) -> None:
        turned = np.empty_like(out)
        self._fill_uniform(out)
        self._fill_uniform(turned)
        turned *= np.pi
        np.log(out, out=out)
        np.cos(turned, out=turned)
        out *= turned

    def _words_of_52_bits(self, count: int) -> NDArray[np.uint64]:
        """The stream's next words; a process that was forked off starts a stream of its own."""
        words = self._words[:count]
        if self._process != os.getpid():
            self._process = os.getpid()
            self._stream = Cipher(algorithms.AES256(os.urandom(32)), modes.CTR(os.urandom(16))).encryptor()
        self._stream.update_into(memoryview(_ZEROS)[: words.nbytes], words.view(np.uint8).data)
        return np.right_shift(words, np.uint64(12), out=words)


def _blocks(out: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    return (out[start : start + _BLOCK] for start in range(0, len(out), _BLOCK))
