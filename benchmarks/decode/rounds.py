"""Turns and ratios: pure arithmetic.

A B C  A B C  A B C      a contender's neighbours in time are the others, so that all meet the same noise
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

Rates = Mapping[str, Sequence[float]]  # of each contender, one a round


def turns(names: Sequence[str], num_rounds: int) -> list[tuple[int, str]]:
    """(round, contender) in the order in which they run."""
    return [(number, name) for number in range(num_rounds) for name in names]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of each round."""
    return median(our / their for our, their in zip(ours, theirs, strict=True))


def middle(values: Sequence[float]) -> list[Any]:
    """[median, [min, max]]."""
    return [round(median(values), 2), [round(min(values), 2), round(max(values), 2)]]


def against_peers(rates: Rates, ours: str, peers: Sequence[str]) -> dict[str, Any]:
    """The peer that comes closest to ours or goes furthest beyond.

    Args:
        rates: Of all contenders.
        ours: The name of ours.
        peers: Names of peers; those that did not run are passed over, and so are those with no right frame.
    Returns:
        vs_best_peer and best_peer; both None where no peer ran.
    """
    ratios = {name: ratio(rates[ours], rates[name]) for name in peers if name in rates and min(rates[name]) > 0}
    best = min(ratios, key=lambda name: ratios[name], default=None)
    return {"vs_best_peer": round(ratios[best], 3) if best else None, "best_peer": best}
