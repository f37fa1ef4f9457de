"""Groups of videos that are nearly the same: by the digests of their previews, and by their vectors.

content      the coded video is the same to the bit (`content_digest`)
perceptual   what it looks like differs in at most 10 of 64 bits (`perceptual_digest`)
vectors      as many slices, one more or less, and every slice like the slice at its place

Every pair of videos is looked at, in blocks: for the digests 10^10 pairs take half a minute, for the vectors only those
whose first slices are alike are looked at in full. Groups are what pairs hang together in.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline import storage, tables
from pipeline.errors import CheckpointError, ConfigError, TableError
from pipeline.tasks.retrieval.ann import unit
from pipeline.tasks.slices import Slices, chosen_videos, read_slices

Reason = Literal["content", "perceptual", "vectors"]
THRESHOLD = 0.99
MAX_DIFFERENT_BITS = 10  # docs/glossary.md: copies that were compressed again, scaled or brightened
_PLAIN = "0" * 16  # of every picture of one colour
_ROWS, _COLUMNS = 1024, 16_384  # of a block of pairs: 64 MB of products, 128 MB of digests
GROUPS = pa.schema(
    [
        pa.field("group", pa.int32()),
        pa.field("video_id", pa.string()),
        pa.field("uri", pa.string()),
        pa.field("reasons", pa.list_(pa.string())),
        pa.field("similarity", pa.float32()),
        pa.field("different_bits", pa.int32()),
    ]
)


@dataclass(frozen=True)
class Pair:
    """Two videos that are nearly the same, by their place in the list of videos, and why.

    Args:
        one, other: one < other.
        reason: What says so.
        closeness: The lowest cosine similarity of their slices, for vectors; different bits, for perceptual; 0 else.
    """

    one: int
    other: int
    reason: Reason
    closeness: float = 0.0


def near_duplicates(
    root: str, *, threshold: float = THRESHOLD, model: str = "champion", where: str | None = None
) -> pa.Table:
    """Groups of videos that are nearly the same.

    Args:
        root: The root's URI.
        threshold: Cosine similarity that every pair of slices must reach, in (0, 1].
        model: Whose vectors: champion, a version number of the root, models:/NAME@ALIAS, or a checkpoint folder's URI.
        where: SQL condition over the columns of `videos`; None: all.
    Returns:
        GROUPS: a row a video, in the order of groups; reasons are those of its pairs; similarity is the lowest of its
        slices in its best pair, different_bits the fewest of its pairs; null where that was no reason.
    Raises:
        ConfigError: the threshold is out of range, DuckDB refuses the condition, or no video meets it.
        CheckpointError: a model other than the champion leads nowhere.
        TableError: the root has no tables.
    """
    if not 0 < threshold <= 1:
        raise ConfigError("A similarity is out of range.", where="--threshold", got=threshold, expected="(0, 1]")
    root = storage.normalize(root)
    chosen = chosen_videos(root, where)
    columns = ["video_id", "uri", "content_digest", "perceptual_digest"]
    videos = tables.read(root, "videos", columns, pc.field("status") == "ok").combine_chunks()
    videos = videos.filter(pc.is_in(videos["video_id"], chosen["video_id"].combine_chunks())).sort_by("uri")
    pairs = [*content_pairs(videos["content_digest"]), *perceptual_pairs(videos["perceptual_digest"])]
    slices = _slices(root, model, where)
    if slices is not None:
        number = {video_id: place for place, video_id in enumerate(videos["video_id"].to_pylist())}
        pairs += vector_pairs(slices, number, threshold)
    return grouped(videos, pairs)


def content_pairs(digests: pa.ChunkedArray) -> Iterator[Pair]:
    """Videos with the same content digest, each with the first of them."""
    first: dict[str, int] = {}
    for place, digest in enumerate(digests.to_pylist()):
        if digest is not None and first.setdefault(digest, place) != place:
            yield Pair(first[digest], place, "content")


def perceptual_pairs(digests: pa.ChunkedArray) -> Iterator[Pair]:
    """Videos whose perceptual digests differ in at most 10 bits; plain pictures say nothing."""
    texts = digests.to_pylist()
    places = np.array([place for place, text in enumerate(texts) if text not in (None, _PLAIN)], np.int64)
    bits = np.array([int(texts[place], 16) for place in places.tolist()], np.uint64)
    for rows, columns in _blocks(len(bits)):
        differing = np.bitwise_count(bits[rows, None] ^ bits[None, columns])
        for one, other in _found(differing <= MAX_DIFFERENT_BITS, rows, columns):
            closeness = float(differing[one - rows.start, other - columns.start])
            yield Pair(int(places[one]), int(places[other]), "perceptual", closeness)


def vector_pairs(slices: Slices, number: Mapping[str, int], threshold: float) -> Iterator[Pair]:
    """Videos all of whose slices are alike in order.

    Args:
        slices: Of all videos, in the order of video_id and clip_index.
        number: video_id to the place in the list of videos.
        threshold: Cosine similarity that every slice must reach.
    """
    vectors = unit(slices.vectors)
    ids = slices.rows["video_id"].combine_chunks()
    starts = np.flatnonzero(np.asarray(pc.fill_null(pc.equal(slices.rows["clip_index"], 0), False)))
    sizes = np.diff(starts, append=len(vectors))
    order = np.argsort(sizes, kind="stable")
    starts, sizes = starts[order], sizes[order]
    places = [number[video_id] for video_id in ids.take(pa.array(starts)).to_pylist()]
    firsts = vectors[starts]
    for rows, columns in _blocks(len(starts)):
        if sizes[columns.start] - sizes[rows.stop - 1] > 1:
            continue  # lengths that differ by more are no copies
        for one, other in _found(firsts[rows] @ firsts[columns].T >= threshold, rows, columns):
            if sizes[other] - sizes[one] <= 1:
                closeness = _lowest(vectors, starts[one], starts[other], sizes[one])
                if closeness >= threshold:
                    first, second = sorted((places[one], places[other]))
                    yield Pair(first, second, "vectors", closeness)


def grouped(videos: pa.Table, pairs: list[Pair]) -> pa.Table:
    """What pairs hang together in, the largest group first.

    Args:
        videos: video_id, uri.
        pairs: Places in it.
    Returns:
        GROUPS.
    """
    leader = list(range(videos.num_rows))

    def find(place: int) -> int:
        while leader[place] != place:
            leader[place] = leader[leader[place]]
            place = leader[place]
        return place

    for pair in pairs:
        one, other = sorted((find(pair.one), find(pair.other)))
        leader[other] = one
    of_video: dict[int, list[Pair]] = {}
    for pair in pairs:
        for place in (pair.one, pair.other):
            of_video.setdefault(place, []).append(pair)
    members: dict[int, list[int]] = {}
    for place in sorted(of_video):
        members.setdefault(find(place), []).append(place)
    ids, uris = videos["video_id"].to_pylist(), videos["uri"].to_pylist()
    rows = [
        {"group": group, "video_id": ids[place], "uri": uris[place], **_why(of_video[place])}
        for group, places in enumerate(sorted(members.values(), key=lambda places: (-len(places), places)))
        for place in places
    ]
    return pa.Table.from_pylist(rows, schema=GROUPS)


def _blocks(number: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of blocks that together have every pair of so many things, row before column."""
    for row in range(0, number, _ROWS):
        for column in range(row, number, _COLUMNS):
            yield slice(row, min(row + _ROWS, number)), slice(column, min(column + _COLUMNS, number))


def _found(is_pair: NDArray[np.bool_], rows: slice, columns: slice) -> Iterator[tuple[int, int]]:
    """The pairs of a block that hold, row before column."""
    for row, column in np.argwhere(is_pair).tolist():
        one, other = rows.start + row, columns.start + column
        if one < other:
            yield one, other


def _slices(root: str, model: str, where: str | None) -> Slices | None:
    """The vectors, where there are any: digests alone find copies too."""
    try:
        return read_slices(root, model, where=where)
    except CheckpointError:
        if model != "champion":
            raise
    except TableError as e:
        if "no vector" not in e.what:
            raise
    return None


def _lowest(vectors: NDArray[np.float32], one: int, other: int, number: int) -> float:
    products = np.einsum("nd,nd->n", vectors[one : one + number], vectors[other : other + number])
    return float(products.min())


def _why(pairs: list[Pair]) -> dict[str, object]:
    similarities = [pair.closeness for pair in pairs if pair.reason == "vectors"]
    bits = [int(pair.closeness) for pair in pairs if pair.reason == "perceptual"]
    return {
        "reasons": sorted({pair.reason for pair in pairs}),
        "similarity": max(similarities, default=None),
        "different_bits": min(bits, default=None),
    }
