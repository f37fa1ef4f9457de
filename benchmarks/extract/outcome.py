"""What the runs say: rates apart from start-up, and how far the vectors agree. Pure arithmetic.

seconds      |
      whole  +- - - - - - - - -x      two runs of a contender in every round: a small corpus, and a whole one that
             |              . '       contains it. The slope is the steady rate; where the line meets the axis, at no
      small  +- - - x   '             clips at all, is start-up: processes, imports, the model, and what ends them.
             |  . '
   start-up  +'- - -|- - - - -|
             0     small    whole    clips
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = Mapping[tuple[str, int], NDArray[np.float32]]  # by name of the video and clip_index


@dataclass(frozen=True)
class Run:
    """One run of one contender: seconds from the start of its process to its end, and the rows it wrote."""

    wall_s: float
    num_rows: int


@dataclass(frozen=True)
class Agreement:
    """The vectors of a contender beside ours.

    median_cosine, min_cosine: Of clips that both have; None where there are none.
    median_centred_cosine: The same after our mean vector is taken from both. Vectors of an untrained network are much
        alike, whatever the clip; what is left without their mean is what the clip made of it.
    missing, extra: Clips that only we have, and that only it has; a clip that it has twice is one extra.
    """

    median_cosine: float | None
    min_cosine: float | None
    median_centred_cosine: float | None
    missing: int
    extra: int


def clips_per_s(small: Run, whole: Run) -> float:
    """The steady rate: what the whole corpus has beyond the small one, a second.

    Raises:
        ValueError: the whole corpus took no longer; it is too small to measure anything.
    """
    if whole.wall_s <= small.wall_s or whole.num_rows <= small.num_rows:
        raise ValueError(f"expected a longer run with more rows, got {small} and {whole}")
    return (whole.num_rows - small.num_rows) / (whole.wall_s - small.wall_s)


def start_up_s(small: Run, whole: Run) -> float:
    """Seconds of a run that had no clips, from the line through both runs."""
    return small.wall_s - small.num_rows / clips_per_s(small, whole)


def agreement(ours: Vectors, theirs: Vectors, num_rows: int) -> Agreement:
    """Compare clip by clip.

    Args:
        ours: Our vectors.
        theirs: The contender's, one a clip.
        num_rows: How many rows it wrote: more than clips where some are there twice.
    """
    shared = sorted(ours.keys() & theirs.keys())
    counts = {"missing": len(ours) - len(shared), "extra": num_rows - len(shared)}
    if not shared:
        return Agreement(None, None, None, **counts)
    first, second = (np.stack([vectors[key] for key in shared]).astype(np.float64) for vectors in (ours, theirs))
    plain, centred = _cosines(first, second), _cosines(first - first.mean(0), second - first.mean(0))
    figures = (np.median(plain), plain.min(), np.median(centred))
    return Agreement(*(round(float(figure), 6) for figure in figures), **counts)


def _cosines(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Row by row, (N, D) and (N, D) -> (N,)."""
    cosines: NDArray[np.float64] = (one * other).sum(1) / (np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1))
    return cosines
