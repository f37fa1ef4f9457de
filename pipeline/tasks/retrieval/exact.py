"""Every vector of the table looked at, batch by batch: nothing is kept but the best so far.

One thread multiplies while Arrow's own read on: 0.33 s for a million vectors of 64 numbers on two cores, against 0.6 s
with a multiplication that takes both, and 0.5 to 0.9 s for DuckDB's list_cosine_similarity (docs/log.md).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.errors import TableError
from pipeline.tasks.retrieval.ann import TINY, lengths, unit
from pipeline.tasks.retrieval.ranking import Ranked, no_rows

_MAX_SIMILARITIES = 1 << 24  # of one product: long queries are taken in pieces


@dataclass(frozen=True)
class Batch:
    """Rows of wanted videos.

    Args:
        numbers: int64 (N,), which row of the source each is.
        videos: int32 (N,), into the gallery's videos.
        vectors: float32 (N, D), not normalised.
        rows: Further columns that were asked for; a table without columns has no length.
    """

    numbers: NDArray[np.int64]
    videos: NDArray[np.int32]
    vectors: NDArray[np.float32]
    rows: pa.Table

    def take(self, places: NDArray[np.intp]) -> "Batch":
        """Some of the rows."""
        rows = self.rows.take(pa.array(places)) if self.rows.num_columns else self.rows
        return Batch(self.numbers[places], self.videos[places], self.vectors[places], rows)


def nearest_clips(batches: Iterable[Batch], queries: NDArray[np.float32], k: int, max_per_video: int | None) -> Ranked:
    """The clips most like any of the queries.

    Args:
        batches: All rows there are.
        queries: Unit vectors, float32 (Q, D).
        k: How many at most.
        max_per_video: How many of one video at most; None: any number.
    """
    best = no_rows()
    for batch in batches:
        similarity = similarities(batch.vectors, queries)
        is_full = len(best.similarity) == k  # then only what is better than the worst so far counts
        kept = np.flatnonzero(similarity > best.similarity[-1]) if is_full else np.arange(len(similarity))
        if len(kept):
            found = Ranked(similarity[kept], batch.videos[kept], batch.numbers[kept])
            best = best.with_others(found.best(k, max_per_video)).best(k, max_per_video)
    return best


def nearest_videos(batches: Iterable[Batch], query: NDArray[np.float32], k: int) -> Ranked:
    """The videos whose mean vector is most like the query; of each, the clip that is most like it.

    Args:
        batches: All rows there are; those of one video follow each other.
        query: A unit vector, float32 (D,).
        k: How many at most.
    """
    best = no_rows()
    for batch in whole_videos(batches):
        starts = first_rows(batch.videos)
        means = np.add.reduceat(batch.vectors, starts, axis=0)
        nearest = _first_of_largest(similarities(batch.vectors, query[None]), starts)
        found = Ranked(similarities(means, query[None]), batch.videos[starts], batch.numbers[nearest])
        best = best.with_others(found.best(k, None)).best(k, None)
    return best


def similarities(vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine similarity of each vector to the query that is most like it.

    Args:
        vectors: float32 (N, D); one of length 0 is like nothing.
        queries: Unit vectors, float32 (Q, D).
    Returns:
        float32 (N,).
    """
    step = max(1, _MAX_SIMILARITIES // max(1, len(vectors)))
    found = np.full(len(vectors), -np.inf, np.float32)
    for start in range(0, len(queries), step):
        np.maximum(found, (vectors @ queries[start : start + step].T).max(axis=1), out=found)
    return (found / np.maximum(lengths(vectors), TINY)).astype(np.float32, copy=False)


def matrix(embeddings: pa.ListArray, dim: int, where: str) -> NDArray[np.float32]:
    """A column of vectors as float32 (N, D), without a copy.

    Raises:
        TableError: a vector has another length.
    """
    sizes = np.diff(np.asarray(embeddings.offsets))
    if (sizes != dim).any():
        got, cure = sorted(set(sizes.tolist())), "take out the run that wrote the wrong ones with `sora rollback`"
        raise TableError("Vectors of one model differ in length.", where=where, got=got, expected=dim, cure=cure)
    flat: NDArray[np.float32] = embeddings.flatten().to_numpy(zero_copy_only=False)
    return flat.astype(np.float32, copy=False).reshape(-1, dim)


def whole_videos(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The same rows, cut where videos end; slices of one video follow each other in the table."""
    held: Batch | None = None
    for new in batches:
        batch = new if held is None else _joined(held, new)
        last = int(first_rows(batch.videos)[-1])
        if last:
            yield batch.take(np.arange(last))
        held = batch.take(np.arange(last, len(batch.videos)))
    if held is not None:
        yield held


def first_rows(videos: NDArray[np.int32]) -> NDArray[np.intp]:
    """Where each video begins."""
    return np.flatnonzero(np.diff(videos, prepend=-1))


def mean_direction(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The direction of the mean of some vectors, float32 (D,)."""
    direction: NDArray[np.float32] = unit(vectors.mean(axis=0, keepdims=True))[0]
    return direction


def _first_of_largest(values: NDArray[np.float32], starts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Of each run of values, where its largest stands."""
    largest = np.maximum.reduceat(values, starts)
    places = np.flatnonzero(values == np.repeat(largest, np.diff(starts, append=len(values))))
    return places[np.searchsorted(places, starts)]


def _joined(one: Batch, other: Batch) -> Batch:
    return Batch(
        np.concatenate([one.numbers, other.numbers]),
        np.concatenate([one.videos, other.videos]),
        np.concatenate([one.vectors, other.vectors]),
        pa.concat_tables([one.rows, other.rows]),
    )
