"""Which videos a head has not seen yet, and their slices, whole videos at a time in bounded memory.

live videos with vectors, less `predictions` of the head --one pass over the files that hold them--> whole videos
"""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from deltalake import DeltaTable

from pipeline import datafiles, storage, tables
from pipeline.errors import ConfigError, TableError
from pipeline.tasks.classify.heads import Head, HeadReference
from pipeline.tasks.slices import chosen_videos

_KEY = ["video_id", "version"]
_DIGESTS = ["model_digest", "sampling_digest"]
_COLUMNS = [*_KEY, "uri", "clip_id", "clip_index", "start_s", "end_s", "embedding"]
_ROWS_A_READ = 16_384  # of vectors: 4 MB at 64 numbers
_FILES_AT_ONCE = 2


@dataclass(frozen=True)
class Pending:
    """What a head has to predict.

    Args:
        videos: video_id, version, num_slices.
        num_with_vectors: Live videos that have vectors of the head's model.
        features: The state of `features` it was planned from.
        seen_transaction: The state of `predictions` it was planned from.
    """

    videos: pa.Table
    num_with_vectors: int
    features: DeltaTable
    seen_transaction: int

    @property
    def num_done(self) -> int:
        """Live videos with vectors that have predictions of the head already."""
        return self.num_with_vectors - int(self.videos.num_rows)


def find_pending(root: str, reference: HeadReference, head: Head, *, unknown_below: float) -> Pending:
    """Anti-join the live videos that have vectors with those that have predictions of this head.

    Args:
        root: The root's URI; has a table `predictions`.
        reference: The head's name and version.
        head: The head.
        unknown_below: Threshold that is wanted, in [0, 1].
    Raises:
        ConfigError: predictions of this head are there with another threshold.
        TableError: the table has no vectors of the head's model, or such that other weights or another sampling made.
    """
    predictions, features = tables.open_table(root, "predictions"), tables.open_table(root, "features")
    is_done = (pc.field("head") == reference.name) & (pc.field("head_version") == reference.version)
    is_done &= pc.field("level") == "video"
    done = tables.read_state(root, predictions, "predictions", [*_KEY, "run_key", "unknown_below"], is_done)
    _require_threshold(root, reference, done, unknown_below)
    slices = _counted(root, features, head)
    if not slices.num_rows:
        cure = f"run `sora extract --root {root} --model {head.model_version}`"
        where = f"{root}, model {head.model_version}"
        raise TableError("The table has no vector of the head's model.", where=where, cure=cure)
    live = slices.join(chosen_videos(root), _KEY, join_type="inner")
    left = live.join(done.select(_KEY).group_by(_KEY).aggregate([]), _KEY, join_type="left anti")
    return Pending(left.combine_chunks(), live.num_rows, features, tables.transaction(predictions))


def whole_videos(root: str, pending: Pending, head: Head, *, batch_slices: int) -> Iterator[pa.Table]:
    """The slices of the pending videos, each video whole in one table, sorted by video and clip_index.

    Args:
        root: The root's URI.
        pending: From find_pending.
        head: Whose model's vectors are read.
        batch_slices: A table has about so many rows; a longer video is a table of its own.
    Returns:
        Tables of video_id, version, uri, clip_id, clip_index, start_s, end_s, embedding.
    """
    if not pending.videos.num_rows:
        return
    wanted = _joined(pending.videos).combine_chunks()
    scanner = _files_of(root, pending, head).scanner(
        _COLUMNS,
        filter=pc.field("model_version") == head.model_version,
        batch_size=min(_ROWS_A_READ, batch_slices),
        batch_readahead=1,
        fragment_readahead=1,
    )
    held = scanner.projected_schema.empty_table()
    for batch in scanner.to_batches():
        rows = pa.Table.from_batches([batch])
        held = pa.concat_tables([held, rows.filter(pc.is_in(_joined(rows), wanted))])
        if held.num_rows >= batch_slices:
            whole, held = _split(held, pending.videos)
            if whole.num_rows:
                yield whole
    whole, rest = _split(held, pending.videos)
    assert not rest.num_rows, f"{rest.num_rows} slices of videos that were whole when they were counted"
    if whole.num_rows:
        yield whole


def _files_of(root: str, pending: Pending, head: Head) -> pads.Dataset:
    """The files of `features` that hold pending videos: of a night with few new ones, few; only ids are read for it."""
    dataset = datafiles.dataset(root, "features", pending.features)
    is_wanted = pc.field("video_id").isin(pending.videos["video_id"].unique())
    fragments = [
        one
        for one in dataset.get_fragments(filter=pc.field("model_version") == head.model_version)
        if storage.retried(functools.partial(_has, one, is_wanted))
    ]
    return pads.FileSystemDataset(fragments, dataset.schema, dataset.format, dataset.filesystem)


def _has(fragment: pads.Fragment, where: pc.Expression) -> bool:
    return bool(fragment.count_rows(filter=where))


def _joined(rows: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(rows["video_id"], rows["version"], "\0")


def _split(held: pa.Table, videos: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The rows of videos all of whose slices are held, sorted, and the others: a video may lie in several files."""
    counts = held.group_by(_KEY).aggregate([([], "count_all")]).join(videos, _KEY, join_type="inner")
    whole = counts.filter(pc.equal(counts["count_all"], counts["num_slices"])).select(_KEY)
    rows = held.select(_KEY).append_column("row", pa.array(np.arange(held.num_rows)))
    inside = rows.join(whole, _KEY, join_type="left semi")["row"]
    outside = rows.join(whole, _KEY, join_type="left anti")["row"]
    order = [("video_id", "ascending"), ("version", "ascending"), ("clip_index", "ascending")]
    return held.take(inside).sort_by(order).combine_chunks(), held.take(outside)


def _counted(root: str, state: DeltaTable, head: Head) -> pa.Table:
    """video_id, version and num_slices of the videos that have vectors of the head's model, a part at a time."""
    dataset = datafiles.dataset(root, "features", state)
    where = pc.field("model_version") == head.model_version
    scanner = dataset.scanner([*_KEY, *_DIGESTS], filter=where, batch_readahead=1, fragment_readahead=_FILES_AT_ONCE)

    def parts() -> Iterable[pa.Table]:
        yield pa.table({name: pa.array([], pa.string()) for name in _KEY} | {"count_all": pa.array([], pa.int64())})
        for batch in scanner.to_batches():
            rows = pa.Table.from_batches([batch])
            _require_lineage(root, rows, head)
            yield rows.group_by(_KEY).aggregate([([], "count_all")])

    counts = storage.retried(lambda: pa.concat_tables(parts())).group_by(_KEY).aggregate([("count_all", "sum")])
    return counts.rename_columns([*_KEY, "num_slices"])


def _require_lineage(root: str, rows: pa.Table, head: Head) -> None:
    """Raise a TableError where vectors were not made as those that the head learned from."""
    found = rows.group_by(_DIGESTS).aggregate([]).to_pylist()
    expected = {"model_digest": head.model_digest, "sampling_digest": head.sampling_digest}
    others = [one for one in found if one != expected]
    if others:
        raise TableError(
            "The head was trained on vectors of another model or sampling than the table has.",
            where=f"{root}, model version {head.model_version}",
            got=others,
            expected=expected,
            cure="train a head on these vectors with `sora classify train`; `sora verify` says whether they are mixed",
        )


def _require_threshold(root: str, reference: HeadReference, done: pa.Table, unknown_below: float) -> None:
    """Raise a ConfigError where the table holds predictions of this head with another threshold."""
    wanted = pa.scalar(unknown_below, pa.float32())
    others = done.filter(pc.not_equal(done["unknown_below"], wanted))
    if others.num_rows:
        runs = sorted(set(others["run_key"].to_pylist()))
        raise ConfigError(
            "Predictions of this head are there with another threshold.",
            where=f"{root}, head {reference}",
            got=f"--unknown-below {unknown_below:g}",
            expected=f"{sorted({round(one, 6) for one in others['unknown_below'].to_pylist()})}",
            cure=f"keep it, take the runs {runs} out with `sora rollback`, or filter by `probability` in SQL",
        )
