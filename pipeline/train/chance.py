"""The chance in augmentation and corruption: of every clip a pure function of seed, epoch and clip id.

Whoever draws for a clip, alone or beside others, on one worker or on eight, in a first run or a resumed one, draws the
same numbers:

clip id --with seed, epoch--> key --SplitMix64--> number 0, 1, 2... of this clip in this epoch
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

Keys = NDArray[np.uint64]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def splitmix64(keys: Keys, first: int, count: int) -> Keys:
    """Numbers `first` to `first + count` of the generators seeded with the keys (Steele, Lea and Flood 2014).

    Its n-th number is a hash of seed and n, so all clips and all numbers are drawn at once.

    Args:
        keys: uint64 (B,).
        first: Numbers passed over, >= 0.
        count: Numbers wanted.
    Returns:
        uint64 (B, count).
    """
    x = keys[:, None] + np.arange(first + 1, first + count + 1, dtype=np.uint64) * _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Keys = x ^ (x >> np.uint64(31))
    return mixed


def clip_keys(clip_ids: Keys, *, seed: int, epoch: int) -> Keys:
    """One key a clip, uint64 (B,): another seed, epoch or clip has another."""
    words = np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)
    return splitmix64(clip_ids ^ words[0], 0, 1)[:, 0]


class Chance:
    """What the clips of one batch draw, in the order of the calls; each clip from numbers of its own.

    Args:
        keys: uint64 (B,), from `clip_keys`.
        device: Where the draws are wanted. Uniform draws are the same on all; normal ones on all of one kind.
    """

    def __init__(self, keys: Keys, device: torch.device):
        self._keys, self._device = keys, device
        self._num_drawn = 0

    def __len__(self) -> int:
        return len(self._keys)

    def uniform(self, *shape: int) -> Tensor:
        """float32 (B, *shape) in [0, 1)."""
        words = self._next(int(np.prod(shape, dtype=np.int64)))
        values = (words >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
        return torch.from_numpy(values.reshape(len(self), *shape)).to(self._device)

    def integers(self, high: int) -> Tensor:
        """int64 (B,) in [0, high)."""
        return (self.uniform() * high).long().clamp(max=high - 1)

    def normal(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """(B, *shape), mean 0, standard deviation 1; drawn by torch, which is many times as fast for whole clips."""
        out = torch.empty((len(self), *shape), dtype=dtype, device=self._device)
        generator = Generator(device=self._device)
        for row, word in zip(out, self._next(1)[:, 0].tolist(), strict=True):
            row.normal_(generator=generator.manual_seed(word))
        return out

    def of_views(self, num_views: int) -> "Chance":
        """What the views of these clips draw, each for itself: first one of every clip, then another of every clip."""
        return Chance(self._next(num_views).T.reshape(-1), self._device)

    def _next(self, count: int) -> Keys:
        first, self._num_drawn = self._num_drawn, self._num_drawn + count
        return splitmix64(self._keys, first, count)
