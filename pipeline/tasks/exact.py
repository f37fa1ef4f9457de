"""Every vector of the table looked at, batch by batch: nothing is kept but the best so far.

One thread multiplies while Arrow's own read on: 0.33 s for a million vectors of 64 numbers on two cores, against 0.6 s
with a multiplication that takes both, and 0.5 to 0.9 s for DuckDB's list_cosine_similarity (docs/log.md).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pipeline.errors import TableError
from pipeline.tasks.ann import lengths, unit
from pipeline.tasks.gallery import Gallery
from pipeline.tasks.ranking import ROWS, Hits, no_hits

BATCH_ROWS = 65_536
_COLUMNS = ["clip_id", "video_id", "version", "start_s", "end_s", "embedding"]
DICTIONARY = ("video_id", "version")  # a video's slices follow each other
_MAX_SIMILARITIES = 1 << 24  # of one product: long queries take smaller pieces of a batch


@dataclass(frozen=True)
class Batch:
    """Rows of wanted videos.

    Args:
        rows: clip_id, start_s, end_s.
        videos: int32 (N,), into the gallery's videos.
        vectors: float32 (N, D), not normalised.
    """

    rows: pa.Table
    videos: NDArray[np.int32]
    vectors: NDArray[np.float32]


def nearest_clips(batches: Iterable[Batch], queries: NDArray[np.float32], k: int, max_per_video: int | None) -> Hits:
    """The clips most like any of the queries.

    Args:
        batches: All rows there are.
        queries: Unit vectors, float32 (Q, D).
        k: How many at most.
        max_per_video: How many of one video at most; None: any number.
    """
    best = no_hits()
    for batch in batches:
        similarity = similarities(batch.vectors, queries)
        if len(best.similarity) == k:  # only what is better than the worst so far counts
            better = np.flatnonzero(similarity > best.similarity[-1])
        else:
            better = np.arange(len(similarity))
        if len(better):
            kept = better[_short_list(similarity[better], k, max_per_video)]
            found = Hits(similarity[kept], batch.videos[kept], batch.rows.take(pa.array(kept)))
            best = best.with_others(found).best(k, max_per_video)
    return best


def nearest_videos(batches: Iterable[Batch], query: NDArray[np.float32], k: int) -> Hits:
    """The videos whose mean vector is most like the query; of each, the clip that is most like it.

    Args:
        batches: All rows there are; those of one video follow each other.
        query: A unit vector, float32 (D,).
        k: How many at most.
    """
    best = no_hits()
    for batch in whole_videos(batches):
        starts = np.flatnonzero(np.diff(batch.videos, prepend=-1))
        means = np.add.reduceat(batch.vectors, starts, axis=0)
        nearest = _first_of_largest(similarities(batch.vectors, query[None]), starts)
        found = Hits(similarities(means, query[None]), batch.videos[starts], batch.rows.take(pa.array(nearest)))
        best = best.with_others(found.best(k, None)).best(k, None)
    return best


def similarities(vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine similarity of each vector to the query that is most like it, float32 (N,).

    Args:
        vectors: float32 (N, D).
        queries: Unit vectors, float32 (Q, D).
    """
    step = max(1, _MAX_SIMILARITIES // max(1, len(vectors)))
    found = np.full(len(vectors), -np.inf, np.float32)
    for start in range(0, len(queries), step):
        np.maximum(found, (vectors @ queries[start : start + step].T).max(axis=1), out=found)
    return found / np.maximum(lengths(vectors), np.finfo(np.float32).tiny)


def read_batches(dataset: pads.Dataset, gallery: Gallery, *, dim: int, where: str) -> Iterator[Batch]:
    """The rows of wanted videos, as they are read.

    Args:
        dataset: Rows of `features` under one model, DICTIONARY given as dictionaries.
        gallery: Which videos may be found.
        dim: D.
        where: Which root and model, for messages.
    Raises:
        TableError: a vector has another length.
    """
    with threadpool_limits(1):
        for batch in dataset.to_batches(columns=_COLUMNS, batch_size=BATCH_ROWS):
            if not batch.num_rows:
                continue
            videos = gallery.wanted_numbers(batch["video_id"], batch["version"])
            vectors, rows = matrix(batch["embedding"], dim, where), pa.table(batch.select(ROWS.names))
            if (videos < 0).any():
                kept = np.flatnonzero(videos >= 0)
                videos, vectors, rows = videos[kept], vectors[kept], rows.take(pa.array(kept))
            if len(videos):
                yield Batch(rows, videos, vectors)


def matrix(embeddings: pa.ListArray, dim: int, where: str) -> NDArray[np.float32]:
    """A column of vectors as float32 (N, D), without a copy.

    Raises:
        TableError: a vector has another length.
    """
    sizes = np.diff(np.asarray(embeddings.offsets))
    if (sizes != dim).any():
        got, cure = sorted(set(sizes.tolist())), "take out the run that wrote the wrong ones with `sora rollback`"
        raise TableError("Vectors differ in length.", where=where, got=got, expected=dim, cure=cure)
    flat: NDArray[np.float32] = embeddings.flatten().to_numpy(zero_copy_only=False)
    return flat.astype(np.float32, copy=False).reshape(-1, dim)


def whole_videos(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The same rows, cut where videos end; slices of one video follow each other in the table."""
    held: Batch | None = None
    for batch in batches:
        if held is not None:
            batch = _joined(held, batch)
        last = int(np.flatnonzero(np.diff(batch.videos, prepend=-1))[-1])
        if last:
            yield _cut(batch, slice(0, last))
        held = _cut(batch, slice(last, len(batch.videos)))
    if held is not None:
        yield held


def mean_direction(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The direction of the mean of some vectors, float32 (D,)."""
    direction: NDArray[np.float32] = unit(vectors.mean(axis=0, keepdims=True))[0]
    return direction


def _short_list(similarity: NDArray[np.float32], k: int, max_per_video: int | None) -> NDArray[np.intp]:
    """Without a limit for videos, sorting all of a batch is not needed: its k best are."""
    if max_per_video is not None or len(similarity) <= k:
        return np.arange(len(similarity))
    return np.sort(np.argpartition(-similarity, k - 1)[:k])


def _first_of_largest(values: NDArray[np.float32], starts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Of each run of values, where its largest stands."""
    largest = np.maximum.reduceat(values, starts)
    places = np.flatnonzero(values == np.repeat(largest, np.diff(starts, append=len(values))))
    return places[np.searchsorted(places, starts)]


def _joined(one: Batch, other: Batch) -> Batch:
    rows = pa.concat_tables([one.rows, other.rows])
    return Batch(rows, np.concatenate([one.videos, other.videos]), np.concatenate([one.vectors, other.vectors]))


def _cut(batch: Batch, place: slice) -> Batch:
    rows = batch.rows.slice(place.start, place.stop - place.start)
    return Batch(rows, batch.videos[place], batch.vectors[place])
