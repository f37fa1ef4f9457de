"""The tables of a root for programs: open one, and take it as Arrow, Polars or DuckDB.

>>> import pipeline
>>> root = pipeline.open_root("sora-demo")
>>> root.videos.arrow(["uri", "status"]).num_rows
3
>>> root.sql("SELECT label, count(*) AS num FROM labels GROUP BY label ORDER BY label").to_pylist()
[{'label': 'golf', 'num': 2}, {'label': 'wave', 'num': 1}]
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from numpy.typing import NDArray

from pipeline import datafiles, storage, tables
from pipeline.errors import ConfigError
from pipeline.tasks import query
from pipeline.tasks.retrieval import search

if TYPE_CHECKING:
    import polars

    from pipeline.tasks.retrieval.embed import Embedded


def open_root(uri: str) -> "Root":
    """Open a root; nothing is read but the log of one table, to see that it is one.

    Args:
        uri: Where tables and models live: a path, file:// or s3:// URI.
    Raises:
        ConfigError: the URI's scheme is not supported.
        TableError: the root has no tables.

    >>> open_root("sora-demo")
    Root('...sora-demo')
    """
    uri = storage.normalize(uri)
    tables.open_table(uri, "videos")
    return Root(uri)


@dataclass(frozen=True)
class RootTable:
    """One table of a root. Every call reads the newest state; what is returned keeps to the state it was made from.

    Args:
        root: The root's URI, normalized.
        name: The table.
    """

    root: str
    name: str

    def dataset(self) -> pads.Dataset:
        """An Arrow dataset: nothing is read until it is asked, and then only the wanted columns and partitions.

        >>> open_root("sora-demo").features.dataset().count_rows()
        6
        """
        return datafiles.dataset(self.root, self.name, tables.open_table(self.root, self.name))

    def arrow(self, columns: Sequence[str] | None = None, *, where: pc.Expression | None = None) -> pa.Table:
        """The rows in memory.

        Args:
            columns: Names; None: all, in the order of the glossary.
            where: Which rows.

        >>> import pyarrow.compute as pc
        >>> features = open_root("sora-demo").features.arrow(["start_s", "embedding"], where=pc.field("start_s") > 0)
        >>> features.num_rows, features.column_names
        (3, ['start_s', 'embedding'])
        """
        return tables.read(self.root, self.name, columns, where)

    def polars(self) -> "polars.LazyFrame":
        """A Polars query over the rows, run by its `collect`; columns and conditions are read no wider than asked.

        Raises:
            ConfigError: Polars is not installed.

        >>> import polars as pl
        >>> features = open_root("sora-demo").features.polars()
        >>> features.filter(pl.col("model_version") == "1").select(pl.col("start_s").max()).collect().item()
        1.0
        """
        try:
            import polars
        except ImportError as e:
            raise ConfigError(
                "Polars is not installed.", where=f"{self.name}.polars()", cure="pip install polars"
            ) from e
        return polars.scan_pyarrow_dataset(self.dataset())

    def duckdb(self) -> duckdb.DuckDBPyRelation:
        """A DuckDB relation over the rows; nothing is read until it is asked.

        >>> open_root("sora-demo").labels.duckdb().aggregate("label, count(*) AS num").order("label").fetchall()
        [('golf', 2), ('wave', 1)]
        """
        return duckdb.connect().from_arrow(self.dataset())


class Root:
    """The tables of one root.

    Args:
        uri: Normalized, of a root that has tables.
    """

    def __init__(self, uri: str):
        self.uri = uri

    def __repr__(self) -> str:
        return f"Root({self.uri!r})"

    @cached_property
    def videos(self) -> RootTable:
        """One row is a version of an object that is video."""
        return RootTable(self.uri, "videos")

    @cached_property
    def labels(self) -> RootTable:
        """One row is a label on a video, or on an interval of it."""
        return RootTable(self.uri, "labels")

    @cached_property
    def features(self) -> RootTable:
        """One row is one time slice of one video under one model, with its vector."""
        return RootTable(self.uri, "features")

    @cached_property
    def failures(self) -> RootTable:
        """One row is an attempt that went wrong, and why."""
        return RootTable(self.uri, "failures")

    @cached_property
    def predictions(self) -> RootTable:
        """One row is what one head says of one time slice, or of a whole video."""
        return RootTable(self.uri, "predictions")

    @cached_property
    def segments(self) -> RootTable:
        """One row is one behaviour during a stretch of a video."""
        return RootTable(self.uri, "segments")

    @cached_property
    def runs(self) -> RootTable:
        """One row is one execution of a job."""
        return RootTable(self.uri, "runs")

    def sql(self, text: str) -> pa.Table:
        """Run one query of DuckDB over all tables.

        Args:
            text: Any SELECT.
        Raises:
            ConfigError: DuckDB refuses the query; its own message says where.

        >>> open_root("sora-demo").sql("SELECT count(DISTINCT video_id) AS videos FROM features")["videos"][0].as_py()
        3
        """
        return query.sql(self.uri, text)

    def search(
        self,
        what: str | Path | NDArray[np.floating],
        *,
        k: int = 10,
        where: str | None = None,
        by: Literal["clip", "video"] = "clip",
        model: str = "champion",
    ) -> pa.Table:
        """The nearest clips or videos by cosine similarity, as `sora search` finds them.

        Args:
            what: A clip_id, a video_id, a video's uri, the path of a new video, or vectors, float (D,) or (Q, D).
            k: How many at most.
            where: SQL condition over the columns of `videos`; None: all videos.
            by: Whether a hit is a clip, or a video by the mean of its slices.
            model: champion, a version number of the root, models:/NAME@ALIAS, or the URI of a checkpoint folder.
        Returns:
            rank, similarity, clip_id, video_id, uri, start_s, end_s; the query's own video is left out.
        Raises:
            ConfigError: the query leads nowhere, or DuckDB refuses the condition.
            CheckpointError: the model reference leads nowhere.
            DecodeError: a new video does not decode.

        >>> root = open_root("sora-demo")
        >>> vector = root.features.arrow(["embedding"])["embedding"][0].as_py()
        >>> root.search(np.array(vector), k=3, where="uri != 'c.mp4'")["uri"].unique().sort().to_pylist()
        ['a.mp4', 'b.mp4']
        """
        query_of = str(what) if isinstance(what, Path) else what
        return search.search(self.uri, query_of, model=model, k=k, where=where, by=by)

    def embed(self, path: str | Path, *, model: str = "champion") -> "Embedded":
        """The vectors of a new video, as `sora extract` would store them; nothing is written.

        Args:
            path: The video: a path, file:// or s3:// URI.
            model: champion, a version number of the root, models:/NAME@ALIAS, or the URI of a checkpoint folder.
        Returns:
            start_s, end_s float64 (N,); vectors float32 (N, D); recon_error, motion float32 (N,).
        Raises:
            CheckpointError: the model reference leads nowhere.
            DecodeError: the file is missing or no video that decodes.
        """
        from pipeline.tasks.retrieval.embed import embed_file  # imports torch

        return embed_file(self.uri, path, model)
