"""Which bins a histogram has: pure arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_BINS = 20
_WIDE = 20.0  # from here on, the ratio of the largest to the smallest value wants a logarithmic axis


@dataclass(frozen=True)
class Histogram:
    """Counts between edges.

    Args:
        edges: Increasing, one more than counts; bins are half-open, the last one closed.
        counts: How many values lie in each.
    """

    edges: Sequence[float]
    counts: Sequence[int]

    @property
    def is_logarithmic(self) -> bool:
        """Whether the bins are equal by ratio."""
        return is_wide(self.edges[0], self.edges[-1])


def is_wide(low: float, high: float) -> bool:
    """Whether a range of positive values is better shown by ratio."""
    return high / low > _WIDE


def edges_between(low: float, high: float) -> list[float]:
    """Edges of twenty bins, equal by ratio where the range is wide; one bin where there is one value.

    Args:
        low, high: Smallest and largest value, 0 < low <= high.
    """
    if low == high:
        return [low, high]
    space = np.geomspace if is_wide(low, high) else np.linspace
    edges = [float(edge) for edge in space(low, high, _BINS + 1)]
    return [low, *edges[1:-1], high]
