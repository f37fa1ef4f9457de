"""The time slices that every use starts from: the live vectors of one model, and which videos a condition chooses."""

from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline import registry, schema, storage, tables
from pipeline.errors import ConfigError, TableError
from pipeline.tracking import CHAMPION

COLUMNS = ("clip_id", "video_id", "uri", "version", "clip_index", "start_s", "end_s", "recon_error", "motion")


@dataclass(frozen=True)
class Slices:
    """Time slices under one model, in the order of video_id and clip_index.

    Args:
        model: The model that made the vectors.
        rows: COLUMNS, N rows.
        vectors: float32 (N, D), as they are in the table: not normalised.
    """

    model: registry.ModelReference
    rows: pa.Table
    vectors: NDArray[np.float32]


def read_slices(root: str, model: str = CHAMPION, *, where: str | None = None) -> Slices:
    """Every slice of the videos that are in the corpus now, in the version that is there now.

    Args:
        root: The root's URI.
        model: champion, a version number of the root, models:/NAME@ALIAS, or the URI of a checkpoint folder.
        where: SQL condition over the columns of `videos`; None: all videos.
    Raises:
        CheckpointError: the model reference leads nowhere.
        ConfigError: DuckDB refuses the condition, or no video meets it.
        TableError: the root has no tables, or no vectors of this model for these videos.
    """
    root = storage.normalize(root)
    videos = chosen_videos(root, where)
    found = registry.resolve(root, model)
    is_wanted = pc.field("model_version") == found.version
    if where is not None:
        is_wanted &= pc.field("video_id").isin(videos["video_id"].combine_chunks())
    rows = tables.read(root, "features", [*COLUMNS, "embedding"], is_wanted)
    rows = rows.filter(pc.is_in(_keys(rows), _keys(videos).combine_chunks()))
    if not rows.num_rows:
        cure = f"run `sora extract --root {root} --model {model}`"
        at = f"{root}, model {found.version}"
        raise TableError("The table has no vector of this model for the wanted videos.", where=at, cure=cure)
    rows = rows.sort_by([("video_id", "ascending"), ("clip_index", "ascending")]).combine_chunks()
    vectors = stacked_vectors(rows["embedding"], where=f"{root}, model {found.version}")
    return Slices(found, rows.select(list(COLUMNS)), vectors)


def chosen_videos(root: str, where: str | None = None) -> pa.Table:
    """video_id and version of the live videos that meet a condition.

    Args:
        root: The root's URI.
        where: SQL condition over the columns of `videos`; None: all.
    Raises:
        ConfigError: DuckDB refuses the condition, or no video meets it.
        TableError: the root has no tables.
    """
    videos = tables.read(root, "videos", where=pc.field("status") == "ok")
    if where is not None:
        videos = _filtered(videos, where)
        if not videos.num_rows:
            raise ConfigError("No video meets the condition.", where="--where", got=where)
    return videos.select(["video_id", "version"])


def stacked_vectors(embeddings: pa.ChunkedArray, *, where: str) -> NDArray[np.float32]:
    """The column `embedding` as one array.

    Returns:
        float32 (N, D).
    Raises:
        TableError: the vectors are not all of one length.
    """
    lengths = pc.unique(pc.list_value_length(embeddings)).to_pylist()
    if len(lengths) > 1:
        cure = "take out the run that wrote the wrong ones with `sora rollback`"
        raise TableError("Vectors of one model differ in length.", where=where, got=sorted(lengths), cure=cure)
    flat = embeddings.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    vectors: NDArray[np.float32] = flat.astype(np.float32, copy=False).reshape(len(embeddings), -1)
    return vectors


def _keys(rows: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(rows["video_id"], rows["version"], "\0")


def _filtered(videos: pa.Table, where: str) -> pa.Table:
    with duckdb.connect() as connection:
        connection.register("videos", videos)
        connection.execute("SET enable_external_access = false")  # a condition reads the catalog and nothing else
        try:
            return connection.sql(f"SELECT * FROM videos WHERE ({where}\n)").to_arrow_table()
        except (duckdb.Error, AttributeError) as e:
            expected = f"a condition over {', '.join(schema.VIDEOS.names)}"
            raise ConfigError("The condition cannot be used.", where="--where", got=e, expected=expected) from e
