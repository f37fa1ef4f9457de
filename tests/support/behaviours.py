"""Planted videos whose slices follow a known sequence of behaviours."""

from collections.abc import Sequence

import numpy as np

from tests.support.planted import Planted

CENTRES = np.random.default_rng(99).normal(size=(4, 8))
NOISE = 0.15


def planted_video(
    behaviours: Sequence[int], *, seed: int, source: str | None = None, label: str | None = None
) -> Planted:
    """One slice a second; behaviour k has its own vector, its own motion, and noise around both."""
    rng = np.random.default_rng(seed)
    indices = np.array(behaviours)
    vectors = CENTRES[indices] + rng.normal(size=(len(indices), CENTRES.shape[1])) * NOISE
    motion = (0.01 * (1 + indices) * np.exp(rng.normal(size=len(indices)) * 0.05)).tolist()
    recon_error = (0.1 * np.exp(rng.normal(size=len(indices)) * 0.05)).tolist()
    attributes = {"source_group": source} if source else {}
    return Planted(vectors, label or ("video" if source else None), attributes, recon_error, motion)


def bouts(*pairs: tuple[int, int]) -> list[int]:
    """(behaviour, slices) one after the other."""
    return [behaviour for behaviour, length in pairs for _ in range(length)]
