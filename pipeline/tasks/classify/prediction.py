"""The driver of a prediction: what a head has not seen yet -> `predictions`, a commit for each batch of whole videos.

find_pending --whole_videos--> vectors --head--> rows: one a slice, one a video --TableWriter--> a commit
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline import datafiles, registry, schema, storage, tables
from pipeline.crashpoints import crash_point
from pipeline.errors import ConfigError
from pipeline.progress import OnProgress, Progress, unwatched
from pipeline.tasks.classify import heads
from pipeline.tasks.classify.config import PredictConfig
from pipeline.tasks.classify.network import Floats, top
from pipeline.tasks.classify.pending import Pending, find_pending, whole_videos
from pipeline.tasks.slices import stacked_vectors

UNKNOWN = "unknown"


@dataclass(frozen=True)
class PredictPlan:
    """A head, and what it has not seen yet."""

    root: str
    config: PredictConfig
    reference: heads.HeadReference
    head: heads.Head
    pending: Pending

    @property
    def selection(self) -> dict[str, object]:
        """What makes its run another one than the same job's of the same date."""
        options = {**asdict(self.config), "root": None, "head": str(self.reference)}
        return {"head": self.head.description["digest"], "options": options}


@dataclass
class PredictCounts:
    """What one prediction did; videos_by_label of the videos it handled."""

    videos: int = 0
    clips: int = 0
    unknown_videos: int = 0
    unknown_clips: int = 0
    already_done: int = 0
    videos_by_label: dict[str, int] = field(default_factory=dict)


def plan_prediction(config: PredictConfig) -> PredictPlan:
    """Resolve the head and find the work; reads keys, no vectors.

    Raises:
        CheckpointError: there is no such head, or the model reference leads nowhere.
        ConfigError: the head was trained on vectors of another model, or predictions are there with another threshold.
        TableError: the root has no tables, or no vectors of the head's model, or such that something else made.
    """
    root = storage.normalize(config.root)
    tables.open_table(root, "videos")
    storage.require_store(root)
    reference = heads.resolve(root, config.head)
    head = heads.load(reference)
    model = registry.resolve(root, config.model)
    if model.digest != head.model_digest:
        raise ConfigError(
            "The head was trained on vectors of another model.",
            where=f"head {reference}",
            got=f"model {model.version}, digest {model.digest[:12]}",
            expected=f"model {head.model_version}, digest {head.model_digest[:12]}",
            cure=f"train one on this model with `sora classify train`, or give --model {head.model_version}",
        )
    tables.create_missing(root)
    pending = find_pending(root, reference, head, unknown_below=config.unknown_below)
    return PredictPlan(root, config, reference, head, pending)


def predict(plan: PredictPlan, *, run_key: str, ds: date, on_progress: OnProgress = unwatched) -> PredictCounts:
    """Give every pending video its predictions; a video's rows are committed together or not at all.

    Args:
        plan: From plan_prediction.
        run_key: Names the run in every row.
        ds: Logical date.
        on_progress: Told after every commit.
    Raises:
        CommitConflictError: other writers kept winning.
        TableError: vectors of one model differ in length.
    """
    counts = PredictCounts(already_done=plan.pending.num_done)
    writer = tables.TableWriter(plan.root, "predictions", seen_transaction=plan.pending.seen_transaction)
    total = plan.pending.videos.num_rows
    crash_point("planned")
    for rows in _batches(plan, run_key, ds):
        files = datafiles.write(plan.root, "predictions", rows)
        crash_point("before_commit")
        writer.commit(files)
        _count(counts, rows)
        on_progress(Progress("predict", counts.videos, total))
    return counts


def _batches(plan: PredictPlan, run_key: str, ds: date) -> Iterator[pa.Table]:
    columns = {
        "head": plan.reference.name,
        "head_version": plan.reference.version,
        "model_version": plan.head.model_version,
        "run_key": run_key,
        "ds": ds,
    }
    for slices in whole_videos(plan.root, plan.pending, plan.head, batch_slices=plan.config.batch_slices):
        rows = predicted_rows(
            slices, plan.head, unknown_below=plan.config.unknown_below, top_k=plan.config.top_k, where=plan.root
        )
        for name, value in {**columns, "produced_at": datetime.now(UTC)}.items():
            field_type = schema.PREDICTIONS.field(name).type
            rows = rows.append_column(name, pa.repeat(pa.scalar(value, field_type), rows.num_rows))
        yield rows


def predicted_rows(slices: pa.Table, head: heads.Head, *, unknown_below: float, top_k: int, where: str) -> pa.Table:
    """What a head says of some whole videos, slice by slice and of each video's mean vector.

    Args:
        slices: From whole_videos, sorted by video.
        head: The head.
        unknown_below: In [0, 1].
        top_k: Classes to name, at least 1.
        where: Said in errors.
    Returns:
        The columns of `predictions` that do not depend on head and run: all slices, then all videos.
    Raises:
        TableError: the vectors differ in length.
    """
    vectors = stacked_vectors(slices["embedding"], where=where)
    starts = _first_rows(slices)
    means = np.add.reduceat(vectors.astype(np.float64), starts) / np.diff([*starts, len(vectors)])[:, None]
    ends_s = np.maximum.reduceat(slices["end_s"].to_numpy(), starts)
    firsts = slices.take(pa.array(starts))
    videos = firsts.set_column(firsts.column_names.index("end_s"), "end_s", pa.array(ends_s))
    videos = videos.set_column(videos.column_names.index("clip_id"), "clip_id", pa.nulls(videos.num_rows, pa.string()))
    parts = []
    for level, rows, x in (("clip", slices, vectors), ("video", videos, means)):
        kept = rows.select(["video_id", "uri", "version", "clip_id", "start_s", "end_s"])
        kept = kept.append_column("level", pa.repeat(pa.scalar(level), kept.num_rows))
        for name, column in _answers(head.probabilities(x), head.classes, unknown_below, top_k).items():
            kept = kept.append_column(name, column)
        parts.append(kept)
    return pa.concat_tables(parts)


def _answers(probabilities: Floats, classes: tuple[str, ...], unknown_below: float, top_k: int) -> dict[str, pa.Array]:
    """The columns of an answer; the threshold is compared in float32, as both stand in the table."""
    indices, values = top(probabilities, top_k)
    likely, threshold = values.astype(np.float32), np.float32(unknown_below)
    best = likely[:, 0]
    is_unknown = best < threshold
    names = pa.array(classes, pa.string())
    offsets = pa.array(np.arange(len(indices) + 1) * indices.shape[1], pa.int32())
    return {
        "label": pc.if_else(pa.array(is_unknown), UNKNOWN, names.take(pa.array(indices[:, 0]))),
        "probability": pa.array(best),
        "top_labels": pa.ListArray.from_arrays(offsets, names.take(pa.array(indices.ravel()))),
        "top_probabilities": pa.ListArray.from_arrays(offsets, pa.array(likely.ravel())),
        "is_unknown": pa.array(is_unknown),
        "unknown_below": pa.repeat(pa.scalar(threshold, pa.float32()), len(best)),
    }


def _first_rows(slices: pa.Table) -> NDArray[np.int64]:
    """The row at which each video begins."""
    keys = pc.binary_join_element_wise(slices["video_id"], slices["version"], "\0").to_numpy()
    return np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])).astype(np.int64)


def _count(counts: PredictCounts, rows: pa.Table) -> None:
    is_video = pc.equal(rows["level"], "video")
    videos = rows.filter(is_video)
    counts.videos += videos.num_rows
    counts.clips += rows.num_rows - videos.num_rows
    num_unknown = int(pc.sum(rows["is_unknown"]).as_py())
    counts.unknown_videos += int(pc.sum(videos["is_unknown"]).as_py())
    counts.unknown_clips += num_unknown - int(pc.sum(videos["is_unknown"]).as_py())
    for entry in pc.value_counts(videos["label"]).to_pylist():
        label = str(entry["values"])
        counts.videos_by_label[label] = counts.videos_by_label.get(label, 0) + int(entry["counts"])
