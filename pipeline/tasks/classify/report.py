"""What a head said, held against the labels: class by class, how sure, how often `unknown`; unseen videos apart."""

import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline import storage, tables
from pipeline.errors import ConfigError
from pipeline.evaluate.gather import read_rows
from pipeline.evaluate.intervals import grouped_interval
from pipeline.evaluate.pictures import confusion_figure
from pipeline.tasks.classify import heads
from pipeline.tasks.classify.calibration import calibration_error
from pipeline.tasks.classify.config import ReportConfig
from pipeline.tasks.classify.page import percent
from pipeline.tasks.classify.prediction import UNKNOWN
from pipeline.train.report import per_class_report

FILE, PAGE, PICTURE = "report.json", "report.txt", "confusion.png"


@dataclass(frozen=True)
class Answered:
    """Labelled videos that have predictions of the head.

    Args:
        labels: (N,) what the label says.
        groups: (N,) source of each.
        predicted: (N,) the likeliest class, whatever the threshold.
        is_unknown: bool (N,), below the threshold.
        probability: float64 (N,), of the likeliest class.
        was_trained: bool (N,), the head learned from it.
    """

    labels: NDArray[np.str_]
    groups: NDArray[np.str_]
    predicted: NDArray[np.str_]
    is_unknown: NDArray[np.bool_]
    probability: NDArray[np.float64]
    was_trained: NDArray[np.bool_]

    def of(self, is_chosen: NDArray[np.bool_]) -> "Answered":
        """Some of the videos."""
        return Answered(*(getattr(self, name)[is_chosen] for name in self.__dataclass_fields__))


def report(config: ReportConfig) -> tuple[dict[str, Any], str, str]:
    """Compare the predictions of videos in the table with whole-video labels, and write the files.

    Returns:
        The figures, the same in words, and the folder of the files.
    Raises:
        CheckpointError: there is no such head.
        ConfigError: no video has a label, or no labelled video has predictions of the head.
        TableError: the root has no tables, or none of predictions.
    """
    root = storage.normalize(config.root)
    reference = heads.resolve(root, config.head)
    head = heads.load(reference)
    answered, num_without = _answered(root, config, reference, head)
    unseen, seen = answered.of(~answered.was_trained), answered.of(answered.was_trained)
    main = unseen if len(unseen.labels) else seen
    classes = sorted({*head.classes, *answered.labels.tolist()})
    found = {
        "head": reference.name,
        "version": reference.version,
        "model": head.model_version,
        "unseen": _figures(unseen, classes) if len(unseen.labels) else None,
        "in_training": _figures(seen, classes) if len(seen.labels) else None,
        "without_predictions": num_without,
        "classes_unknown_to_the_head": sorted(set(classes) - set(head.classes)),
    }
    targets, predicted = _indices(main, classes)
    table, _ = per_class_report(targets.tolist(), predicted.tolist(), classes)
    text = _page(reference, found, table, is_seen=main is seen)
    folder = storage.normalize(config.output) if config.output else storage.join(reference.uri, "report")
    _write(folder, found, text, main, classes)
    return found, text, folder


def _answered(
    root: str, config: ReportConfig, reference: heads.HeadReference, head: heads.Head
) -> tuple[Answered, int]:
    """The labelled live videos with predictions, and how many have none."""
    rows, videos = read_rows(root, group_column=config.group_column, splits_of=lambda known: [])
    where = (pc.field("head") == reference.name) & (pc.field("head_version") == reference.version)
    where &= (pc.field("level") == "video") & pc.field("video_id").isin(videos["video_id"].unique())
    columns = ["video_id", "version", "top_labels", "probability", "is_unknown"]
    predictions = tables.read(root, "predictions", columns, where)
    labelled = pa.table(
        {
            "video_id": videos["video_id"],
            "version": videos["version"],
            "label": pa.array([rows.classes[index] for index in rows.labels], pa.string()),
            "group": pa.array(rows.groups.tolist(), pa.string()),
        }
    )
    best = pc.list_element(predictions["top_labels"], 0)
    flat = predictions.drop_columns(["top_labels"]).append_column("best", best)
    both = labelled.join(flat, ["video_id", "version"], join_type="inner").sort_by("video_id")
    if not both.num_rows:
        cure = f"run `sora classify predict --root {root} --head {reference}`"
        raise ConfigError("No labelled video has predictions of this head.", where=f"head {reference}", cure=cure)
    trained = np.array([video_id in head.trained_videos for video_id in both["video_id"].to_pylist()], dtype=bool)
    return Answered(
        np.array(both["label"].to_pylist(), dtype=np.str_),
        np.array(both["group"].to_pylist(), dtype=np.str_),
        np.array(both["best"].to_pylist(), dtype=np.str_),
        np.array(both["is_unknown"].to_pylist(), dtype=bool),
        both["probability"].to_numpy().astype(np.float64),
        trained,
    ), labelled.num_rows - both.num_rows


def _figures(videos: Answered, classes: list[str]) -> dict[str, Any]:
    """accuracy counts `unknown` as wrong; accuracy_of_known leaves it out; ece is of the likeliest class, always."""
    right = videos.predicted == videos.labels
    known = ~videos.is_unknown
    error, bins = calibration_error(videos.probability, right)
    targets, predicted = _indices(videos, classes)
    _, fields = per_class_report(targets.tolist(), predicted.tolist(), classes)
    return {
        "videos": len(right),
        "accuracy": float((right & known).mean()),
        "ci95": list(grouped_interval(right & known, videos.groups, seed=0)),
        "accuracy_of_known": float(right[known].mean()) if known.any() else None,
        "unknown": int(videos.is_unknown.sum()),
        "ece": error,
        "calibration": bins,
        "per_class": {
            name: {
                "precision": float(fields[name]["precision"]),
                "recall": float(fields[name]["recall"]),
                "f1": float(fields[name]["f1-score"]),
                "support": int(fields[name]["support"]),
                "unknown": int((videos.is_unknown & (videos.labels == name)).sum()),
            }
            for name in classes
        },
    }


def _indices(videos: Answered, classes: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Targets and predictions as indices of classes; `unknown` is one past the last."""
    index_of = {name: index for index, name in enumerate(classes)}
    targets = np.array([index_of[name] for name in videos.labels.tolist()], dtype=np.int64)
    predicted = np.array([index_of[name] for name in videos.predicted.tolist()], dtype=np.int64)
    return targets, np.where(videos.is_unknown, len(classes), predicted)


def _page(reference: heads.HeadReference, found: dict[str, Any], table: str, *, is_seen: bool) -> str:
    lines = [f"head {reference}, vectors of model {found['model']}"]
    if is_seen:
        lines += [
            "EVERY LABELLED VIDEO WITH PREDICTIONS WAS IN TRAINING: these figures say what the head remembers, not",
            f"what it recognises. Its figures on sources it did not see are in {reference.uri}/{heads.DESCRIPTION}.",
        ]
    for name, title in (("unseen", "not in training"), ("in_training", "in training")):
        if found[name] is not None:
            lines.append(f"videos {title}: {_line(found[name])}")
    if found["unseen"] is not None and found["in_training"] is not None:
        lines.append("The table and the picture are of the videos that were not in training.")
    if found["without_predictions"]:
        lines.append(f"{found['without_predictions']} labelled videos have no predictions of this head.")
    if found["classes_unknown_to_the_head"]:
        lines.append(f"Classes the head never learned: {', '.join(found['classes_unknown_to_the_head'])}.")
    return "\n".join([*lines, "", table.rstrip()])


def _line(figures: dict[str, Any]) -> str:
    low, high = (percent(share) for share in figures["ci95"])
    known = figures["accuracy_of_known"]
    text = f"{figures['videos']}, accuracy {percent(figures['accuracy'])} % (95 % interval by source {low} to {high})"
    text += f", {figures['unknown']} unknown"
    if figures["unknown"] and known is not None:
        text += f" and {percent(known)} % right of the others"
    return f"{text}, calibration error {percent(figures['ece'])}"


def _write(folder: str, found: dict[str, Any], text: str, videos: Answered, classes: list[str]) -> None:
    targets, predicted = _indices(videos, classes)
    names = [*classes, f"({UNKNOWN})"] if videos.is_unknown.any() else classes
    picture = io.BytesIO()
    confusion_figure(targets, predicted, names).savefig(picture, format="png")
    storage.put(storage.join(folder, PICTURE), picture.getvalue())
    storage.put(storage.join(folder, PAGE), text.encode())
    storage.put(storage.join(folder, FILE), json.dumps(found, indent=2).encode())
