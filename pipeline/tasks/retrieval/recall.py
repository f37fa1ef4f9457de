"""How many of the true neighbours the index finds: queries that no centroid was made of, beside every vector.

Which rows are held out is said by their clip_id alone, so a row that is held out of a table was so when it was smaller.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.tasks.retrieval.ann import unit
from pipeline.tasks.retrieval.index import Index
from pipeline.tasks.retrieval.ranking import Ranked, no_rows
from pipeline.tasks.retrieval.source import Source

K = 10
TARGET, PROMISED = 0.97, 0.95  # the mean of the queries that choose, and what it may not fall below by chance
_WANTED, _MAX_SHARE = 512, 0.1
_MIN_QUERIES = 20


@dataclass(frozen=True)
class Recall:
    """Of the K true neighbours, other videos' slices, the share that the index finds.

    Args:
        at_10: Mean over the queries that did not choose the probes, in [0, 1].
        num_queries: How many these were.
        num_probes: Cells a query looks at: the fewest that are enough for the queries that choose.
    """

    at_10: float
    num_queries: int
    num_probes: int


@dataclass(frozen=True)
class HeldOut:
    """One held-out slice.

    Args:
        query: A unit vector, float32 (1, D).
        video: Its video, in which no neighbour is looked for.
        neighbours: clip_ids of the K vectors most like it, fewer in a small table.
    """

    query: NDArray[np.float32]
    video: int
    neighbours: frozenset[str]


def is_held_out(clip_ids: pa.Array | pa.ChunkedArray, num_rows: int) -> NDArray[np.bool_]:
    """Which rows are never used to make centroids: about 512 of a table, a tenth at most, none of a very small one.

    Args:
        clip_ids: 32 hex digits each.
        num_rows: Rows of the whole table.
    """
    share = min(_MAX_SHARE, _WANTED / num_rows) if num_rows * _MAX_SHARE >= _MIN_QUERIES else 0.0
    return np.asarray(pc.less(clip_ids, f"{int(share * 2**32):08x}"), np.bool_)


def measured_recall(source: Source, index: Index) -> Recall | None:
    """Choose the probes on every second held-out query, and say the recall on the others; None: too few to tell."""
    asked = [one for one in held_out(source) if one.neighbours]
    if len(asked) < _MIN_QUERIES:
        return None
    choosing, told = asked[::2], asked[1::2]
    num_cells, num_probes = len(index.layout.centroids), 1
    while num_probes < num_cells and not _is_enough(recalls(choosing, index, source, num_probes)):
        num_probes = min(num_cells, num_probes + max(1, num_probes // 2))
    return Recall(float(np.mean(recalls(told, index, source, num_probes))), len(told), num_probes)


def _is_enough(shares: list[float]) -> bool:
    """TARGET is reached, and PROMISED by three standard errors."""
    standard_error = np.std(shares) / np.sqrt(len(shares))
    return bool(np.mean(shares) >= TARGET and np.mean(shares) - 3 * standard_error >= PROMISED)


def recalls(asked: list[HeldOut], index: Index, source: Source, num_probes: int) -> list[float]:
    """Of each query, the share of its true neighbours that is found."""
    shares = []
    for one in asked:
        others = source.gallery.is_wanted.copy()
        others[one.video] = False
        hits = index.nearest_clips(one.query, K, None, num_probes=num_probes, is_wanted=others)
        shares.append(len(one.neighbours.intersection(hits.rows["clip_id"].to_pylist())) / len(one.neighbours))
    return shares


def held_out(source: Source) -> list[HeldOut]:
    """The held-out slices of a table and their true neighbours."""
    parts = [
        batch.take(np.flatnonzero(is_held_out(batch.rows["clip_id"], source.num_rows)))
        for batch in source.batches(columns=["clip_id"])
    ]
    if not parts:
        return []
    queries, videos = unit(np.concatenate([part.vectors for part in parts])), np.concatenate([p.videos for p in parts])
    nearest = true_neighbours(source, queries, videos)
    clip_ids = source.rows_at(np.concatenate([np.empty(0, np.int64), *nearest]))["clip_id"].to_pylist()
    ends = np.cumsum([len(found) for found in nearest])
    return [
        HeldOut(query[None], int(video), frozenset(clip_ids[end - len(found) : end]))
        for query, video, found, end in zip(queries, videos, nearest, ends.tolist(), strict=True)
    ]


def true_neighbours(source: Source, queries: NDArray[np.float32], videos: NDArray[np.int32]) -> list[NDArray[np.int64]]:
    """Numbers of the K rows most like each query, among those of other videos.

    Args:
        source: Where to look.
        queries: Unit vectors, float32 (Q, D).
        videos: int32 (Q,), the video of each.
    """
    best = [no_rows()] * len(queries)
    for batch in source.batches():
        products = queries @ unit(batch.vectors).T  # (Q, N)
        for number, (row, own) in enumerate(zip(products, videos, strict=True)):
            so_far = best[number]
            worst = so_far.similarity[-1] if len(so_far.similarity) == K else -np.inf
            better = np.flatnonzero((row > worst) & (batch.videos != own))
            if len(better):
                found = Ranked(row[better], batch.videos[better], batch.numbers[better])
                best[number] = so_far.with_others(found.best(K, None)).best(K, None)
    return [found.numbers for found in best]
