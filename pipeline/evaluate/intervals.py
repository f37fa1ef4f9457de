"""How far chance may have moved an accuracy, where videos of one source are not independent of each other."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_NUM_DRAWS = 5000


def grouped_interval(
    correct: NDArray[np.generic], groups: Sequence[str] | NDArray[np.generic], *, seed: int, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of an accuracy, from a bootstrap that draws whole groups (Field & Welsh 2007).

    Args:
        correct: bool (n,), or the share in [0, 1] to which each row was right.
        groups: (n,) source of each row.
        seed: Of the draws.
        level: In (0, 1).
    Returns:
        (low, high), each in [0, 1]; both the accuracy itself where there is one group.
    Raises:
        ValueError: shapes do not fit, there is no row, or the level is out of range.
    """
    values, sources = np.asarray(correct, dtype=np.float64), np.asarray(groups)
    if values.ndim != 1 or values.shape != sources.shape or not values.size:
        raise ValueError(f"expected (n,) and (n,), n > 0, got shapes {values.shape} and {sources.shape}")
    if not 0 < level < 1:
        raise ValueError(f"expected level in (0, 1), got level = {level}")
    _, of_row = np.unique(sources, return_inverse=True)
    right, sizes = np.bincount(of_row, weights=values), np.bincount(of_row)
    num_groups = len(sizes)
    drawn = np.random.default_rng(seed).multinomial(num_groups, np.full(num_groups, 1 / num_groups), size=_NUM_DRAWS)
    accuracies = (drawn @ right) / (drawn @ sizes)  # (draws,)
    low, high = np.quantile(accuracies, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
