"""Randomness for privacy: from the operating system's generator, stretched by AES, and never from a seed.

Noise of floating-point numbers can give away what it was added to: through the gaps between the values that a sampler
can take (Mironov 2012, "On significance of the least significant bits"), and through how fine the sum's last digit is
(Haney et al. 2022, arXiv 2207.13793). Whatever is noisy here is therefore rounded to a fixed grid of about 2**-24 of
the noise's scale, and each variable is made of 104 random bits or more, so that every point of the grid is reached in
very many ways from any value.
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

_Fill = Callable[[NDArray[np.float64]], None]


class SystemRandomness:
    """Independent draws, different in every instance and in every process; there is no way to repeat them.

    Not for several threads at once.
    """

    def __init__(self) -> None:
        self._process = -1
        self._stream: CipherContext
        self._words = np.empty(_BLOCK, np.uint64)
        self._spare = np.empty(_BLOCK)

    def uniform(self, count: int) -> NDArray[np.float64]:
        """`count` uniform numbers between 0 and 1, both excluded: odd multiples of 2**-53."""
        out = np.empty(count)
        for block in _blocks(out):
            self._fill_uniform(block)
        return out

    def plus_normal(self, values: NDArray[np.float64], std: float) -> NDArray[np.float64]:
        """The values with Gaussian noise, rounded to a grid that depends on `std` only; for a `std` of 0 as they are.

        That grid is as fine as float32 is about `std`. The values should be below 2**27 times `std`.
        """
        return self._noised(values, self._sum_of_inverted, std)

    def plus_laplace(self, values: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
        """The values with Laplace noise of that scale, rounded as `plus_normal` does."""
        return self._noised(values, self._sum_of_products, scale)

    def poisson_mask(self, count: int, rate: float) -> NDArray[np.bool_]:
        """Which of `count` records a step takes: each with probability `rate`, independently of the others."""
        if not 0 <= rate <= 1:
            raise ValueError(f"a sampling rate of {rate}")
        return self.uniform(count) < rate

    def _noised(self, values: NDArray[np.float64], fill: _Fill, scale: float) -> NDArray[np.float64]:
        if not scale:
            return values.copy()
        grid, out = 2.0 ** (math.floor(math.log2(scale)) - 24), np.empty_like(values)
        for block, given in zip(_blocks(out), _blocks(values), strict=True):
            fill(block)
            np.multiply(block, scale, out=block)
            np.add(block, given, out=block)
            np.multiply(block, 1 / grid, out=block)  # exact, as the way back is
            np.rint(block, out=block)
            np.multiply(block, grid, out=block)
        return out

    def _sum_of_inverted(self, out: NDArray[np.float64]) -> None:
        """Two Gaussians of variance one half, added up."""
        self._fill_inverted(out)
        out += self._term(self._fill_inverted, len(out))

    def _sum_of_products(self, out: NDArray[np.float64]) -> None:
        """Two products of the Gaussians of one Box-Muller pair, -log(u) cos(pi v), added up: a Laplace variable."""
        self._fill_product(out)
        out += self._term(self._fill_product, len(out))

    def _term(self, fill: _Fill, count: int) -> NDArray[np.float64]:
        term = self._spare[:count]
        fill(term)
        return term

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
