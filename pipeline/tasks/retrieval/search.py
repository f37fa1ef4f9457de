"""The clips or videos most like a clip, a video or a new file.

QUERY --table or embed.py--> vectors --> exact.py: every vector, batch by batch
                                    \\-> index.py: the nearest cells, and exactly what the index does not have yet
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline import registry, storage
from pipeline.errors import ConfigError
from pipeline.tasks.retrieval.ann import unit
from pipeline.tasks.retrieval.exact import mean_direction, nearest_clips, nearest_videos
from pipeline.tasks.retrieval.gallery import Gallery, read_gallery
from pipeline.tasks.retrieval.index import Index, open_index
from pipeline.tasks.retrieval.index_layout import State
from pipeline.tasks.retrieval.queries import Query, find_query
from pipeline.tasks.retrieval.ranking import Hits, Ranked
from pipeline.tasks.retrieval.source import Source, open_source

By = Literal["clip", "video"]
Method = Literal["exact", "index"]
INDEX_FROM_ROWS = 200_000  # below, looking at every vector takes a tenth of a second
_MIN_SHARE_OF_INDEX = 0.05  # where a condition leaves less of the videos, their own vectors are looked at
HITS = pa.schema(
    [
        pa.field("rank", pa.int32()),
        pa.field("similarity", pa.float32()),
        pa.field("clip_id", pa.string()),
        pa.field("video_id", pa.string()),
        pa.field("uri", pa.string()),
        pa.field("start_s", pa.float64()),
        pa.field("end_s", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Found:
    """The answer to one query.

    Args:
        hits: HITS, the most similar first.
        query: What was looked for.
        method: exact: every vector was looked at. index: the nearest cells.
        how: The same in words.
        model: Whose vectors.
    """

    hits: pa.Table
    query: Query
    method: Method
    how: str
    model: registry.ModelReference


def search(
    root: str,
    query: str | NDArray[np.floating],
    *,
    model: str = "champion",
    k: int = 10,
    where: str | None = None,
    by: By = "clip",
    include_self: bool = False,
    max_per_video: int | None = None,
    exact: bool = False,
) -> pa.Table:
    """The k nearest by cosine similarity.

    Args:
        root: The root's URI.
        query: A clip_id, a video_id, a video's uri, the path of a video, or vectors, float (D,) or (Q, D).
        model: champion, a version number of the root, models:/NAME@ALIAS, or the URI of a checkpoint folder.
        k: How many at most.
        where: SQL condition over the columns of `videos`; None: all videos.
        by: clip: a hit is a clip, as similar as the query's slice that is most like it. video: a hit is a video, the
            mean of its slices beside the mean of the query's, and the clip of it that is most like that.
        include_self: Whether clips of the query's own video may be hits.
        max_per_video: How many hits of one video at most; None: any number.
        exact: Look at every vector, whatever index there is.
    Returns:
        rank, similarity, clip_id, video_id, uri, start_s, end_s; at most k rows.
    Raises:
        ConfigError: the query leads nowhere, DuckDB refuses the condition, or a number is out of range.
        CheckpointError: the model reference leads nowhere.
        TableError: the root has no tables, or no vectors of this model.
        DecodeError: the query is a file that does not decode.
    """
    searcher = Searcher(root, model, where=where)
    found = searcher.search(query, k=k, by=by, include_self=include_self, max_per_video=max_per_video, exact=exact)
    return found.hits


class Searcher:
    """A root opened for many queries: it sees the tables as they were when it was opened.

    Of an exact search nothing is kept but the catalog's ids; of the index its centroids, and up to 512 MB of what was
    read of it.

    Args:
        root: The root's URI.
        model: champion, a version number of the root, models:/NAME@ALIAS, or the URI of a checkpoint folder.
        where: SQL condition over the columns of `videos`; None: all videos.
        index_from_rows: Vectors from which an index is used.
    """

    def __init__(
        self,
        root: str,
        model: str = "champion",
        *,
        where: str | None = None,
        index_from_rows: int = INDEX_FROM_ROWS,
    ):
        root = storage.normalize(root)
        self._gallery = read_gallery(root, where)
        self.source = open_source(root, registry.resolve(root, model), self._gallery)
        self._index_from_rows = index_from_rows
        self._opened: tuple[Index, State] | None = None
        self._fresh: _Fresh | None = None
        self._is_index_known = False

    @property
    def num_bytes_kept(self) -> int:
        """What is kept between queries, beside the catalog's ids: rows of the index, and the video of each vector."""
        index_bytes = self._opened[0].num_bytes_kept if self._opened else 0
        return index_bytes + (sum(part.nbytes for part in self.source.videos) if "videos" in vars(self.source) else 0)

    def search(
        self,
        query: str | NDArray[np.floating],
        *,
        k: int = 10,
        by: By = "clip",
        include_self: bool = False,
        max_per_video: int | None = None,
        exact: bool = False,
    ) -> Found:
        """The k nearest; see `search`."""
        _require_positive("--k", k)
        if max_per_video is not None:
            _require_positive("--max-per-video", max_per_video)
        asked = self._query(query)
        gallery = self._gallery if include_self else self._gallery.without(asked.video_id)
        if by == "video":
            ranked = nearest_videos(self.source.batches(gallery), mean_direction(asked.vectors), k)
            return self._found(self._hits(ranked), asked, "exact", "the mean of every video")
        queries = unit(asked.vectors)
        reason = "as was asked for" if exact else self._reason_for_exact()
        if reason is not None:
            ranked = nearest_clips(self.source.batches(gallery), queries, k, max_per_video)
            return self._found(
                self._hits(ranked), asked, "exact", f"every one of {self.source.num_rows} vectors: {reason}"
            )
        return self._through_index(asked, gallery, queries, k, max_per_video)

    def _through_index(
        self, asked: Query, gallery: Gallery, queries: NDArray[np.float32], k: int, max_per_video: int | None
    ) -> Found:
        assert self._opened is not None
        assert self._fresh is not None
        index, state = self._opened
        num_cells = len(index.layout.centroids)
        num_probes = min(num_cells, round(state.num_probes / self._gallery.share_wanted))
        is_wanted = gallery.is_wanted & self._fresh.is_there
        hits = index.nearest_clips(queries, k, max_per_video, num_probes=num_probes, is_wanted=is_wanted)
        how = f"index {state.index_key}, {num_probes} of {num_cells} cells"
        if self._fresh.files:
            batches = self.source.batches(gallery.only(self._fresh.is_missing), files=self._fresh.files)
            hits = hits.merged(self._hits(nearest_clips(batches, queries, k, max_per_video)), k, max_per_video)
            how += f", and all vectors of {self._fresh.num_videos} videos that are not in it yet"
        return self._found(hits, asked, "index", how)

    def _hits(self, ranked: Ranked) -> Hits:
        return Hits(ranked.similarity, ranked.videos, self.source.rows_at(ranked.numbers))

    def _reason_for_exact(self) -> str | None:
        """Why the index is not used; None where it is."""
        if self.source.num_rows < self._index_from_rows:
            return f"fewer than {self._index_from_rows}"
        if self._gallery.share_wanted < _MIN_SHARE_OF_INDEX:
            return f"the condition leaves {self._gallery.share_wanted:.1%} of the videos"
        if not self._is_index_known:
            self._open_index()
        return None if self._opened else "there is no index of this model"

    def _open_index(self) -> None:
        self._opened = open_index(self.source.root, self.source.model, self._gallery)
        self._is_index_known = True
        if self._opened:
            index, state = self._opened
            is_current = state.features_version == self.source.version
            num_videos = self._gallery.videos.num_rows
            self._fresh = _Fresh.none(num_videos) if is_current else _Fresh.beside(index, self.source)

    def _query(self, query: str | NDArray[np.floating]) -> Query:
        if isinstance(query, str):
            asked = find_query(self.source, query)
        else:
            vectors = np.atleast_2d(np.asarray(query, np.float32))
            asked = Query("vectors", None, None, 0.0, 0.0, vectors)
        if asked.vectors.shape[1] != self.source.dim:
            got, expected = f"shape {asked.vectors.shape}", f"(Q, {self.source.dim})"
            raise ConfigError("The query's vectors have another length.", where="query", got=got, expected=expected)
        return asked

    def _found(self, hits: Hits, asked: Query, method: Method, how: str) -> Found:
        videos = self._gallery.videos.take(pa.array(hits.videos))
        rank = np.arange(1, len(hits.videos) + 1, dtype=np.int32)
        columns = [rank, hits.similarity, hits.rows["clip_id"], videos["video_id"], videos["uri"]]
        columns += [hits.rows["start_s"], hits.rows["end_s"]]
        return Found(pa.table(columns, schema=HITS), asked, method, how, self.source.model)


@dataclass(frozen=True)
class _Fresh:
    """How `features` and an older index differ.

    Args:
        is_missing: bool (V,), videos with vectors that are not in the index.
        is_there: bool (V,), videos whose rows of the index still have their vector.
        files: Numbers of the files with vectors that are not in the index.
    """

    is_missing: NDArray[np.bool_]
    is_there: NDArray[np.bool_]
    files: list[int]

    @classmethod
    def none(cls, num_videos: int) -> "_Fresh":
        """They do not."""
        return cls(np.zeros(num_videos, np.bool_), np.ones(num_videos, np.bool_), [])

    @classmethod
    def beside(cls, index: Index, source: Source) -> "_Fresh":
        """Compare them, video by video."""
        is_there = np.any(source.having, axis=0)
        is_missing = is_there & ~index.covered()
        files = [file for file, has in enumerate(source.having) if (has & is_missing).any()]
        return cls(is_missing, is_there, files)

    @property
    def num_videos(self) -> int:
        return int(self.is_missing.sum())


def _require_positive(option: str, value: int) -> None:
    if value < 1:
        raise ConfigError("A number is out of range.", where=option, got=value, expected="at least 1")
