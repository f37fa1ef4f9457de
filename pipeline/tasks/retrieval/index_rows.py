"""Rows of `search_index`: coded from vectors, written shard by shard, taken out where their video is gone."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline import datafiles, races, schema, tables
from pipeline.datafiles import DataFile, table_uri
from pipeline.progress import OnProgress, Progress
from pipeline.tasks.retrieval import ann
from pipeline.tasks.retrieval.exact import Batch
from pipeline.tasks.retrieval.gallery import chosen_rows
from pipeline.tasks.retrieval.index import Index, is_of, rows_of
from pipeline.tasks.retrieval.index_layout import Layout
from pipeline.tasks.retrieval.ranking import ROWS
from pipeline.tasks.retrieval.source import Source

_FLUSH_ROWS = 1_000_000  # coded rows that wait for their files: 0.3 GB at 64-d


def add_missing(source: Source, layout: Layout, key: str, on_progress: OnProgress) -> int:
    """Code the rows of videos the index does not have, and commit them at once; returns how many."""
    table = tables.open_table(source.root, "search_index")
    covered = Index(layout, rows_of(source.root, table, source.model, key), source.gallery).covered()
    files: list[DataFile] = []
    waiting: list[pa.Table] = []
    num_done = 0
    for batch in _missing_batches(source, ~covered):
        waiting.append(coded(batch, source, layout, key))
        num_done += len(batch.videos)
        if sum(part.num_rows for part in waiting) >= _FLUSH_ROWS:
            files += _written(source.root, waiting)
        on_progress(Progress("index", num_done, source.num_rows, unit="vectors"))
    files += _written(source.root, waiting)
    return tables.TableWriter(source.root, "search_index").commit(files)


def coded(batch: Batch, source: Source, layout: Layout, key: str) -> pa.Table:
    """Rows of `search_index` for some vectors."""
    cells = ann.nearest_cells(ann.unit(batch.vectors), layout.centroids)
    codes = ann.codes_of(batch.vectors)
    offsets = pa.array(np.arange(0, codes.size + 1, codes.shape[1], dtype=np.int32))
    videos = source.gallery.videos.take(pa.array(batch.videos))
    columns = {
        **{name: batch.rows[name] for name in ("clip_id", "start_s", "end_s")},
        **{name: videos[name] for name in ("video_id", "version")},
        "cell": pa.array(cells),
        "code": pa.ListArray.from_arrays(offsets, pa.array(codes.reshape(-1))),
        "model_version": pa.repeat(source.model.version, len(cells)),
        "index_key": pa.repeat(key, len(cells)),
        "shard": pa.array(layout.shards[cells]),
    }
    return pa.table([columns[name] for name in schema.SEARCH_INDEX.names], schema=schema.SEARCH_INDEX)


def remove_gone(source: Source, key: str) -> int:
    """Take out rows whose video is gone from the corpus or from `features`; returns how many.

    Raises:
        CommitConflictError: another build was faster.
    """
    having = np.any(source.having, axis=0)
    table = tables.open_table(source.root, "search_index")
    removed, added, num_removed = [], [], 0
    for file in datafiles.files("search_index", table):
        if not is_of(file, source.model, key):
            continue
        rows = datafiles.read(source.root, "search_index", file)
        numbers = source.gallery.numbers(rows["video_id"], rows["version"])
        is_kept = chosen_rows(numbers, having)
        if not is_kept.all():
            removed.append(file)
            added += datafiles.write(source.root, "search_index", rows.filter(pa.array(is_kept)))
            num_removed += int((~is_kept).sum())
    if removed and not tables.swap(source.root, "search_index", removed, added, changed=True):
        raise races.lost("search_index", table_uri(source.root, "search_index"))
    return num_removed


def _missing_batches(source: Source, is_missing: NDArray[np.bool_]) -> Iterator[Batch]:
    """Rows of the videos that are not there yet, from the files that have any."""
    files = [file for file, there in enumerate(source.having) if (there & is_missing).any()]
    return source.batches(source.gallery.only(is_missing), files=files, columns=ROWS.names) if files else iter(())


def _written(root: str, waiting: list[pa.Table]) -> list[DataFile]:
    """Write what waits, a file a shard, and empty the list."""
    if not waiting:
        return []
    rows = pa.concat_tables(waiting)
    waiting.clear()
    shards = np.asarray(rows["shard"])
    rows = rows.take(pa.array(np.argsort(shards, kind="stable"))).combine_chunks()
    counts = np.bincount(shards)
    starts = np.cumsum(counts) - counts
    files = []
    for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
        files += datafiles.write(root, "search_index", rows.slice(start, count)) if count else []
    return files
