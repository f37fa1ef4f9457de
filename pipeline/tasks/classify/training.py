"""The driver of a training: labels and vectors -> a head, its figures, an MLflow run.

labels, features --gather--> rows --validation--> figures --fit on all--> heads/<name>/<n>
"""

import io
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline import registry, runs, storage, tables, tracking
from pipeline.errors import ConfigError, TableError
from pipeline.evaluate.gather import common, read_rows, require_sides, stacked, video_vectors
from pipeline.evaluate.judge import Rows
from pipeline.evaluate.pictures import confusion_figure
from pipeline.evaluate.record import numbers
from pipeline.progress import Watcher
from pipeline.tasks.classify import heads
from pipeline.tasks.classify.calibration import kept_by_threshold
from pipeline.tasks.classify.config import TrainConfig
from pipeline.tasks.classify.fitting import Recipe
from pipeline.tasks.classify.page import page
from pipeline.tasks.classify.validation import Calibrated, Labelled, cross_validate, fit_calibrated, score
from pipeline.train.report import per_class_report

PICTURE, REPORT = "confusion.png", "report.txt"


@dataclass(frozen=True)
class TrainPlan:
    """The labelled videos that have vectors, and whose vectors they are."""

    root: str
    config: TrainConfig
    model: registry.ModelReference
    sampling_digest: str
    rows: Rows
    vectors: NDArray[np.float64]  # (N, D)
    num_left_out: int
    remarks: Sequence[str]

    @property
    def selection(self) -> dict[str, object]:
        """What makes its run another one than the same job's of the same date."""
        options = {**asdict(self.config), "root": None}
        return {"model": self.model.digest, "options": options, "videos": list(self.rows.video_ids)}


@dataclass(frozen=True)
class TrainedHead:
    """What came of a training."""

    reference: heads.HeadReference
    found: dict[str, Any]
    page: str
    mlflow_run_id: str | None


def plan_training(config: TrainConfig) -> TrainPlan:
    """Resolve the model and read the tables.

    Raises:
        CheckpointError: the model reference leads nowhere.
        ConfigError: no labels, no such split column, or a split with an empty side.
        TableError: the root has no tables, no vectors of the model for these videos, or vectors of another model.
    """
    root = storage.normalize(config.root)
    tables.open_table(root, "videos")
    model = registry.resolve(root, config.model)
    known: list[str] = []

    def splits_of(columns: list[str]) -> list[str]:
        known.extend(columns)
        return _split_columns(config, columns)

    rows, videos = read_rows(root, group_column=config.group_column, splits_of=splits_of)
    vectors = video_vectors(root, model.version, videos)
    kept = common(rows, [vectors])
    require_sides(kept)
    num_left_out = len(rows.video_ids) - len(kept.video_ids)
    remarks = []
    if config.group_column not in known:
        remarks.append(f"No label has the column {config.group_column}: every video counts as a source of its own.")
    if num_left_out:
        remarks.append(f"{num_left_out} labelled videos are left out: model {model.version} has no vectors of them.")
    sampling = require_lineage(root, model, videos)
    stack = np.asarray(stacked(kept, vectors), dtype=np.float64)
    return TrainPlan(root, config, model, sampling, kept, stack, num_left_out, remarks)


def require_lineage(root: str, model: registry.ModelReference, videos: pa.Table) -> str:
    """The digest of the one sampling of the videos' vectors.

    Raises:
        TableError: the vectors under the model's version were made by other weights, or sampled in two ways.
    """
    where = (pc.field("model_version") == model.version) & pc.field("video_id").isin(videos["video_id"].unique())
    rows = tables.read(root, "features", ["model_digest", "sampling_digest"], where)
    found = rows.group_by(["model_digest", "sampling_digest"]).aggregate([]).to_pylist()
    if len(found) == 1 and found[0]["model_digest"] == model.digest:
        return str(found[0]["sampling_digest"])
    raise TableError(
        "The vectors under this model's version are not all its own.",
        where=f"{root}, model {model.version}",
        got=[f"model {one['model_digest'][:12]}, sampling {one['sampling_digest']}" for one in found],
        expected=f"model {model.digest[:12]}, one sampling",
        cure=f"`sora verify --root {root}` names the run to take back",
    )


def train(plan: TrainPlan, *, watcher: Watcher) -> TrainedHead:
    """Validate, fit, write the head and tell MLflow.

    Args:
        plan: From plan_training.
        watcher: Told what happens now.
    Raises:
        ConfigError: too few classes or sources.
    """
    storage.require_store(plan.root)
    config = plan.config
    recipe = Recipe(config.kind, None if config.class_weights == "none" else config.class_weights, config.seed)
    every = Labelled(plan.vectors, plan.rows.labels, plan.rows.groups, plan.rows.classes)
    if config.split_column is None:
        watcher.note("cross-validation")
        probabilities, folds = cross_validate(every, recipe, num_folds=config.folds)
        is_train, tested = np.ones(len(every.labels), dtype=bool), every
        watcher.note("fitting on all labelled videos")
        head = fit_calibrated(every, recipe, num_folds=config.folds)
    else:
        is_train = plan.rows.splits[config.split_column] == "train"
        watcher.note(f"fitting on the training side of {config.split_column}")
        head = fit_calibrated(every.of(is_train), recipe, num_folds=config.folds)
        tested = every.of(~is_train)
        probabilities = head.probabilities(tested.vectors, len(tested.classes))
        folds = [np.ones(len(tested.labels), dtype=bool)]
    figures = score(tested, probabilities, folds)
    description = _description(plan, head, is_train, {**figures, "num_tested": len(tested.labels)})
    return _keep(plan, head, is_train, description, tested, probabilities)


def _split_columns(config: TrainConfig, known: list[str]) -> list[str]:
    if config.split_column is None:
        return []
    if config.split_column not in known:
        cure = "add the column, with train or test in each line, to the CSV of `sora catalog --labels`"
        what = "No label has the split column."
        raise ConfigError(what, where="--split-column", got=config.split_column, expected=known, cure=cure)
    return [config.split_column]


def _description(
    plan: TrainPlan, head: Calibrated, is_train: NDArray[np.bool_], metrics: dict[str, Any]
) -> dict[str, Any]:
    config, labels = plan.config, plan.rows.labels[is_train]
    split: dict[str, Any] = {"group_column": config.group_column, "num_folds": len(metrics["accuracy"]["folds"])}
    if config.split_column is not None:
        split = {"column": config.split_column, "group_column": config.group_column}
    confidences, correct = head.held_out.max(axis=1), head.held_out.argmax(axis=1) == labels
    return {
        "kind": config.kind,
        "classes": [plan.rows.classes[index] for index in head.fitted.classes],
        "model": {"version": plan.model.version, "digest": plan.model.digest},
        "sampling_digest": plan.sampling_digest,
        "strength": head.fitted.strength,
        "class_weights": config.class_weights,
        "temperature": head.temperature,
        "split": split,
        "seed": config.seed,
        "thresholds": kept_by_threshold(confidences, correct),
        "metrics": metrics,
        "num_videos": int(is_train.sum()),
        "num_sources": len(np.unique(plan.rows.groups[is_train])),
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _keep(
    plan: TrainPlan,
    head: Calibrated,
    is_train: NDArray[np.bool_],
    description: dict[str, Any],
    tested: Labelled,
    probabilities: NDArray[np.float64],
) -> TrainedHead:
    """Write the head and its pictures, publish them, and tell MLflow."""
    predicted = probabilities.argmax(axis=1)
    text, _ = per_class_report(tested.labels.tolist(), predicted.tolist(), tested.classes)
    figure = confusion_figure(tested.labels, predicted, tested.classes)
    trained = [video_id for video_id, kept in zip(plan.rows.video_ids, is_train, strict=True) if kept]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        digest = heads.write_head(folder, head.fitted.network, trained, description)
        picture = io.BytesIO()
        figure.savefig(picture, format="png")
        (folder / PICTURE).write_bytes(picture.getvalue())
        (folder / REPORT).write_text(text)
        reference = heads.publish(plan.root, plan.config.name, folder, digest)
        run_id = _tell(plan, reference, description, folder)
    found = {"head": reference.name, "version": reference.version, "uri": reference.uri, **description}
    return TrainedHead(reference, found, page(reference, description, text, plan.remarks), run_id)


def _tell(plan: TrainPlan, reference: heads.HeadReference, description: dict[str, Any], folder: Path) -> str | None:
    tags = {"sora_job": "classify train", "sora_root": plan.root, "sora_head": str(reference)}
    tracker = tracking.Tracker(plan.root, run_name=f"classify-{reference.name}-{reference.version}", tags=tags)
    tracker.log_params(json.loads(runs.as_json(plan.config)))
    metrics = {name: value for name, value in description["metrics"].items() if name != "per_class"}
    chosen = {name: description[name] for name in ("temperature", "strength")}
    tracker.log_metrics(numbers({**metrics, **chosen}))
    tracker.log_folder(folder, "head")
    tracker.finish()
    return tracker.run_id
