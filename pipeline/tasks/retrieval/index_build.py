"""Build the index of a model's vectors, or add what is new: `search_index`.

features --sample--> centroids            (the first time, and when the table has doubled)
features --rows without a code--> cell, code --one commit--> search_index --held-out queries--> probes, recall@10
rows whose video is gone leave
"""

import time
from dataclasses import dataclass

import numpy as np

from pipeline import datafiles, registry, storage, tables
from pipeline.errors import TableError
from pipeline.progress import OnProgress, unwatched
from pipeline.tasks.retrieval import ann, index_layout
from pipeline.tasks.retrieval.index import Index, is_of, rows_of
from pipeline.tasks.retrieval.index_layout import Layout, State
from pipeline.tasks.retrieval.index_rows import add_missing, remove_gone
from pipeline.tasks.retrieval.recall import Recall, is_held_out, measured_recall
from pipeline.tasks.retrieval.source import Source, open_source

GROWN = 2.0  # times the rows the centroids were made of: cells are twice as full then
_SAMPLE_A_CELL, _MIN_SAMPLE = 64, 20_000


@dataclass(frozen=True)
class Built:
    """What a build did, and what it found.

    Args:
        index_key: The index that is in use now.
        num_rows: Rows it has.
        num_added, num_removed: Rows this build put in and took out.
        is_retrained: Whether its centroids are new.
        num_cells, num_probes: Cells there are, and cells a query looks at.
        recall: On held-out queries; None: too few rows to tell.
        num_bytes: Files of its rows and its centroids.
        seconds: Wall clock.
    """

    index_key: str
    num_rows: int
    num_added: int
    num_removed: int
    is_retrained: bool
    num_cells: int
    num_probes: int
    recall: Recall | None
    num_bytes: int
    seconds: float


def build_index(
    root: str, *, model: str = "champion", rebuild: bool = False, on_progress: OnProgress = unwatched
) -> Built:
    """Bring the index of a model up to date with `features`.

    Args:
        root: The root's URI.
        model: champion, a version number of the root, models:/NAME@ALIAS, or the URI of a checkpoint folder.
        rebuild: Make it anew even where rows could be added.
        on_progress: Told after every batch of vectors.
    Raises:
        CheckpointError: the model reference leads nowhere.
        TableError: the root has no tables, or no vectors of this model.
        CommitConflictError: another build was faster; run it again.
    """
    started_s = time.perf_counter()
    root = storage.normalize(root)
    tables.create_missing(root)
    source = open_source(root, registry.resolve(root, model))
    before = index_layout.read_state(root, source.model)
    if before is None or rebuild or source.num_rows >= GROWN * before.trained_rows:
        layout, trained_rows = _trained(source), source.num_rows
        index_layout.write_layout(root, source.model, layout)
    else:
        layout = index_layout.read_layout(root, source.model, before.index_key)
        trained_rows = before.trained_rows
    key = layout.key(source.model)
    num_removed = remove_gone(source, key)
    num_added = add_missing(source, layout, key, on_progress)
    index, num_rows = _opened(source, layout, key)
    recall = measured_recall(source, index)
    num_probes = recall.num_probes if recall else len(layout.centroids)
    at_10 = recall.at_10 if recall else None
    state = State(key, source.model.digest, source.version, num_rows, trained_rows, num_probes, at_10)
    index_layout.write_state(root, source.model, state)
    num_bytes = _without_other_indexes(source, key)
    return Built(
        index_key=key,
        num_rows=num_rows,
        num_added=num_added,
        num_removed=num_removed,
        is_retrained=before is None or before.index_key != key,
        num_cells=len(layout.centroids),
        num_probes=num_probes,
        recall=recall,
        num_bytes=num_bytes + layout.centroids.nbytes + layout.shards.nbytes,
        seconds=time.perf_counter() - started_s,
    )


def _trained(source: Source) -> Layout:
    """Centroids of a sample in which no held-out row is."""
    number = ann.num_cells(source.num_rows)
    wanted = max(_MIN_SAMPLE, _SAMPLE_A_CELL * number)
    generator, parts = np.random.default_rng(0), []
    for batch in source.batches(columns=["clip_id"]):
        is_drawn = generator.random(len(batch.videos)) < wanted / source.num_rows
        is_drawn &= ~is_held_out(batch.rows["clip_id"], source.num_rows)
        parts.append(batch.vectors[is_drawn])
    if not parts:
        cure = f"run `sora extract --root {source.root} --model {source.model.version}`"
        raise TableError("The table has no vector of a video that is there now.", where=source.where, cure=cure)
    sample = ann.unit(np.concatenate(parts))
    centroids = ann.train(sample, number)
    number_of_shards = min(ann.num_shards(source.num_rows), 2 ** int(np.log2(len(centroids))))
    return Layout(centroids, ann.shards_of(centroids, number_of_shards))


def _opened(source: Source, layout: Layout, key: str) -> tuple[Index, int]:
    table = tables.open_table(source.root, "search_index")
    files = [file for file in datafiles.files("search_index", table) if is_of(file, source.model, key)]
    rows = rows_of(source.root, table, source.model, key)
    return Index(layout, rows, source.gallery), sum(file.num_rows for file in files)


def _without_other_indexes(source: Source, key: str) -> int:
    """Take older indexes of the model out; returns the bytes of the files of the one that stays."""
    table = tables.open_table(source.root, "search_index")
    of_model = [file for file in datafiles.files("search_index", table) if is_of(file, source.model)]
    others = [file for file in of_model if not is_of(file, source.model, key)]
    if others:
        tables.swap(source.root, "search_index", others, [], changed=True)
        for other in sorted({file.partition["index_key"] for file in others}):
            index_layout.delete_layout(source.root, source.model, other)
    return sum(file.size_bytes for file in of_model if file not in others)
