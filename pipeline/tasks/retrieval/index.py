"""The index as a query sees it: which cells to look at, shards that are read once and kept, rows it does not have yet.

query --centroids--> nearest cells --their shards of `search_index`--> codes --product--> best rows
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from deltalake import DeltaTable
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from pipeline import datafiles, schema, storage, tables
from pipeline.registry import ModelReference
from pipeline.tasks.retrieval import index_layout
from pipeline.tasks.retrieval.ann import lengths
from pipeline.tasks.retrieval.gallery import IDS, Gallery, chosen_rows
from pipeline.tasks.retrieval.index_layout import Layout, State
from pipeline.tasks.retrieval.ranking import ROWS, Hits, Ranked, no_rows

CACHE_BYTES = 512 << 20  # about 4 million rows of 64 numbers
_COVERED_ROWS = 1_000_000  # ids looked up at once: each look-up goes through the whole catalog
_THREADS = ThreadpoolController()
_COLUMNS = [*ROWS.names, "video_id", "version", "cell", "code"]


@dataclass(frozen=True)
class Shard:
    """Rows of neighbouring cells, cell by cell.

    Args:
        rows: clip_id, start_s, end_s.
        videos: int32 (N,), into the gallery's videos; -1: gone.
        codes: int8 (N, D).
        lengths: float32 (N,), of the codes.
        starts: int64 (C + 1,), where each cell's rows begin.
    """

    rows: pa.Table
    videos: NDArray[np.int32]
    codes: NDArray[np.int8]
    lengths: NDArray[np.float32]
    starts: NDArray[np.int64]

    @property
    def num_bytes(self) -> int:
        """What it takes in memory."""
        arrays = (self.videos, self.codes, self.lengths, self.starts)
        return int(self.rows.nbytes) + sum(array.nbytes for array in arrays)


class Index:
    """One index, open for queries.

    Args:
        layout: Its cells.
        dataset: Its rows.
        gallery: The live videos.
        cache_bytes: Shards kept in memory, the ones used last.
    """

    def __init__(self, layout: Layout, dataset: pads.Dataset, gallery: Gallery, *, cache_bytes: int = CACHE_BYTES):
        self.layout = layout
        self._dataset, self._gallery, self._cache_bytes = dataset, gallery, cache_bytes
        self._shards: OrderedDict[int, Shard] = OrderedDict()

    @property
    def num_bytes_kept(self) -> int:
        """What the kept shards take in memory."""
        return sum(shard.num_bytes for shard in self._shards.values())

    def nearest_clips(
        self,
        queries: NDArray[np.float32],
        k: int,
        max_per_video: int | None,
        *,
        num_probes: int,
        is_wanted: NDArray[np.bool_],
    ) -> Hits:
        """The clips most like any of the queries, among those in the cells nearest to each.

        Args:
            queries: Unit vectors, float32 (Q, D).
            k: How many at most.
            max_per_video: How many of one video at most; None: any number.
            num_probes: Cells to look at for each query.
            is_wanted: bool (V,), which of the gallery's videos may be found.
        """
        cells = nearest_cells_of(queries, self.layout.centroids, num_probes)
        shards: list[Shard] = []
        firsts: list[int] = []
        parts = [no_rows()]
        with _THREADS.limit(limits=1):
            for number in np.unique(self.layout.shards[cells]).tolist():
                shard = self._shard(number)
                found = _looked_at(shard, cells[self.layout.shards[cells] == number], queries, is_wanted)
                firsts.append(sum(len(one.videos) for one in shards))
                shards.append(shard)
                parts.append(replace(found, numbers=found.numbers + firsts[-1]))
        similarity, videos, numbers = (np.concatenate(columns) for columns in zip(*map(_columns, parts), strict=True))
        best = Ranked(similarity, videos, numbers).best(k, max_per_video)
        return Hits(best.similarity, best.videos, _rows_at(shards, firsts, best.numbers))

    def covered(self) -> NDArray[np.bool_]:
        """Which of the gallery's videos have rows here, bool (V,)."""
        there = np.zeros(len(self._gallery.videos), np.bool_)
        for batch in self._dataset.to_batches(columns=list(IDS), batch_size=_COVERED_ROWS):
            numbers = self._gallery.numbers(_chunked(batch["video_id"]), _chunked(batch["version"]))
            there[numbers[numbers >= 0]] = True
        return there

    def _shard(self, number: int) -> Shard:
        if number in self._shards:
            self._shards.move_to_end(number)
            return self._shards[number]
        shard = self._read(number)
        self._shards[number] = shard
        while self.num_bytes_kept > self._cache_bytes and len(self._shards) > 1:
            self._shards.popitem(last=False)
        return shard

    def _read(self, number: int) -> Shard:
        rows = storage.retried(lambda: self._dataset.to_table(columns=_COLUMNS, filter=pc.field("shard") == number))
        rows = rows.take(pa.array(np.argsort(np.asarray(rows["cell"]), kind="stable"))).combine_chunks()
        codes = np.asarray(rows["code"].combine_chunks().flatten(), np.int8).reshape(-1, self.layout.dim)
        cells = np.asarray(rows["cell"])
        return Shard(
            rows.select(ROWS.names),
            self._gallery.numbers(rows["video_id"], rows["version"]),
            codes,
            np.maximum(lengths(codes.astype(np.float32)), 1),  # a vector of length 0 is like nothing
            np.searchsorted(cells, np.arange(len(self.layout.centroids) + 1)),
        )


def open_index(root: str, model: ModelReference, gallery: Gallery) -> tuple[Index, State] | None:
    """The index in use for a model; None where there is none.

    Args:
        root: The root's URI, normalized.
        model: Whose vectors.
        gallery: The live videos.
    """
    state = index_layout.read_state(root, model)
    if state is None:
        return None
    table = tables.open_there(root, ["search_index"]).get("search_index")
    if table is None or not any(is_of(file, model, state.index_key) for file in datafiles.files("search_index", table)):
        return None
    layout = index_layout.read_layout(root, model, state.index_key)
    return Index(layout, rows_of(root, table, model, state.index_key), gallery), state


def rows_of(root: str, table: DeltaTable, model: ModelReference, index_key: str) -> pads.Dataset:
    """The rows of one index."""
    dataset = datafiles.dataset(root, "search_index", table, dictionary=IDS)
    return dataset.filter((pc.field("model_version") == model.version) & (pc.field("index_key") == index_key))


def is_of(file: datafiles.DataFile, model: ModelReference, index_key: str | None = None) -> bool:
    """Whether a file holds rows of an index of a model; of the one with a key, where it is given."""
    assert schema.PARTITIONS["search_index"][:2] == ["model_version", "index_key"]
    is_of_model = file.partition["model_version"] == model.version
    return is_of_model and index_key in (None, file.partition["index_key"])


def nearest_cells_of(queries: NDArray[np.float32], centroids: NDArray[np.float32], number: int) -> NDArray[np.intp]:
    """The cells nearest to each query, of all queries together: intp (at most Q x number,), increasing."""
    products = queries @ centroids.T  # (Q, C)
    if number >= len(centroids):
        return np.arange(len(centroids))
    return np.unique(np.argpartition(-products, number - 1, axis=1)[:, :number])


def _looked_at(
    shard: Shard, cells: NDArray[np.intp], queries: NDArray[np.float32], is_wanted: NDArray[np.bool_]
) -> Ranked:
    """All wanted rows of some cells of a shard, with the similarity to the query that is most like each."""
    pieces = [slice(shard.starts[cell], shard.starts[cell + 1]) for cell in cells.tolist()]
    videos = np.concatenate([shard.videos[piece] for piece in pieces])
    codes = np.concatenate([shard.codes[piece] for piece in pieces]).astype(np.float32)
    products = codes @ queries.T  # (N, Q)
    best = products[:, 0] if len(queries) == 1 else products.max(axis=1)
    similarity = best / np.concatenate([shard.lengths[piece] for piece in pieces])
    numbers = np.concatenate([np.arange(piece.start, piece.stop) for piece in pieces])
    is_kept = chosen_rows(videos, is_wanted)
    return Ranked(similarity[is_kept], videos[is_kept], numbers[is_kept])


def _columns(ranked: Ranked) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int64]]:
    return ranked.similarity, ranked.videos, ranked.numbers


def _rows_at(shards: Sequence[Shard], firsts: Sequence[int], numbers: NDArray[np.int64]) -> pa.Table:
    """The rows of shards that are numbered one after the other, in the given order."""
    places = np.searchsorted(firsts, numbers, side="right") - 1
    found = [
        shards[place].rows.slice(number - firsts[place], 1)
        for place, number in zip(places.tolist(), numbers.tolist(), strict=True)
    ]
    return pa.concat_tables([ROWS.empty_table(), *found])


def _chunked(column: pa.Array) -> pa.ChunkedArray:
    return pa.chunked_array([column])
