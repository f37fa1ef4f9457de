"""Parts of labelled rows that hold whole sources, each with about the same share of every class."""

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from pipeline.errors import ConfigError


def grouped_folds(
    labels: NDArray[np.int64], groups: NDArray[np.str_], *, num_folds: int, seed: int
) -> Sequence[NDArray[np.bool_]]:
    """The rows of each part, as bool (N,); together all rows, each once, and no source in two parts.

    Args:
        labels: int64 (N,).
        groups: (N,), the source of each row.
        num_folds: Parts wanted, at least 2; fewer where there are fewer sources, or rows of the most frequent class.
        seed: Another seed draws other parts.
    Raises:
        ConfigError: fewer than two sources, or without a part a single class is left to learn from.
    """
    num_groups, most = len(np.unique(groups)), max(Counter(labels.tolist()).values())
    num = min(num_folds, num_groups, most)
    if num < 2:
        got = f"{num_groups} sources, {most} videos of the most frequent class"
        raise _too_little(got)
    folder = StratifiedGroupKFold(num, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        parts = [part for _, part in folder.split(np.zeros(len(labels)), labels, groups) if len(part)]
    folds = []
    for part in parts:
        is_held = np.zeros(len(labels), dtype=bool)
        is_held[part] = True
        if len(np.unique(labels[~is_held])) < 2:
            raise _too_little(f"one class without the sources {sorted(set(groups[is_held].tolist()))[:5]}")
        folds.append(is_held)
    return folds


def _too_little(got: str) -> ConfigError:
    return ConfigError(
        "There is too little to hold out by source.",
        got=got,
        expected="two classes or more that come from several sources each",
        cure="label more videos of other sources, or name another --group-column",
    )
