"""An inverted file (IVF): cells around centroids, vectors as one byte a number, and what of it a query looks at. Pure.

unit vectors --spherical k-means on a sample--> centroids (C, D)
             --nearest centroid--> cell          --halved along the main direction, again and again--> shard of the cell
             --127 x / max |x|, rounded--> code  (one byte a number; similarities change by 0.0005 in the mean)

Jegou, Douze, Schmid, "Product quantization for nearest neighbor search", 2011, is where inverted files come from; one
byte a number instead of their products: there is no second look at the true vectors then, which lie in the order of
videos, not of cells.
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_MAX_CELLS, _MAX_SHARDS = 16_384, 256
_ROWS_A_SHARD = 32_768  # of 64 numbers: 2 MB of codes, what is read and kept at once
_ROUNDS = 12
_BLOCK_ROWS = 16_384
CODE_MAX = 127
TINY = np.float32(np.finfo(np.float32).tiny)


def num_cells(num_rows: int) -> int:
    """As many cells as rows in each: the square root, as a power of two, in [1, 16384]."""
    return int(min(_MAX_CELLS, 2 ** round(math.log2(max(1, num_rows)) / 2)))


def num_shards(num_rows: int) -> int:
    """A power of two in [1, 256], no more than there are cells."""
    wanted = 2 ** round(math.log2(max(1.0, num_rows / _ROWS_A_SHARD)))
    return int(min(_MAX_SHARDS, num_cells(num_rows), wanted))


def unit(vectors: NDArray[np.floating]) -> Floats:
    """Vectors of length 1, float32 (N, D); a vector of length 0 stays, and is like nothing."""
    vectors = vectors.astype(np.float32, copy=False)
    directions = vectors / np.maximum(lengths(vectors), TINY)[:, None]
    return directions.astype(np.float32, copy=False)


def lengths(vectors: Floats) -> Floats:
    """L2 norms, float32 (N,)."""
    norms: Floats = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    return norms


def codes_of(vectors: Floats) -> NDArray[np.int8]:
    """Each vector stretched until its largest number is 127 or -127, and rounded: int8 (N, D)."""
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    codes: NDArray[np.int8] = np.rint(vectors * (CODE_MAX / np.maximum(largest, 1e-30))).astype(np.int8)
    return codes


def train(sample: Floats, number: int, *, seed: int = 0) -> Floats:
    """Centroids of a sample of unit vectors by spherical k-means (Dhillon and Modha, 2001).

    Args:
        sample: Unit vectors, float32 (N, D), N >= 1.
        number: Cells; no more than N are made.
        seed: Of the first centroids.
    Returns:
        Unit vectors, float32 (C, D).
    """
    generator = np.random.default_rng(seed)
    centroids = sample[np.sort(generator.choice(len(sample), min(number, len(sample)), replace=False))]
    for _ in range(_ROUNDS):
        cells = nearest_cells(sample, centroids)
        sums = np.zeros_like(centroids)
        order = np.argsort(cells, kind="stable")
        there, starts = np.unique(cells[order], return_index=True)
        sums[there] = np.add.reduceat(sample[order], starts, axis=0)
        empty = np.setdiff1d(np.arange(len(centroids)), there)
        sums[empty] = sample[generator.choice(len(sample), len(empty))]  # a cell nobody is in starts anew
        centroids = unit(sums)
    return centroids


def nearest_cells(vectors: Floats, centroids: Floats) -> NDArray[np.int32]:
    """The cell of each unit vector, int32 (N,): that of the centroid with the highest product."""
    cells = np.empty(len(vectors), np.int32)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        cells[block] = (vectors[block] @ centroids.T).argmax(axis=1)
    return cells


def shards_of(centroids: Floats, number: int) -> NDArray[np.int32]:
    """The shard of each cell, int32 (C,): all cells halved along their main direction until there are `number` groups.

    Args:
        number: A power of two, at most C.
    """
    groups = [np.arange(len(centroids))]
    while len(groups) < number:
        groups = [half for group in groups for half in _halved(centroids, group)]
    shards = np.empty(len(centroids), np.int32)
    for shard, group in enumerate(groups):
        shards[group] = shard
    return shards


def _halved(centroids: Floats, group: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    centred = centroids[group] - centroids[group].mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    order = group[np.argsort(centred @ directions[0], kind="stable")]
    return order[: len(order) // 2], order[len(order) // 2 :]
