"""Which videos a training run learns from, and which it is measured on: pure decisions over catalog rows."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.errors import ConfigError

UNLABELLED = -1


@dataclass(frozen=True)
class Sample:
    """One video as training sees it."""

    video_id: str
    uri: str
    version: str
    duration_s: float | None
    label: str | None
    attributes: Mapping[str, str]


@dataclass(frozen=True)
class Selection:
    """The videos of a run; `labels[i]` is the name of class i."""

    train: Sequence[Sample]
    validation: Sequence[Sample]
    num_held_out: int
    labels: Sequence[str]

    def digest(self) -> str:
        """16 hex digits that change with any video, version, label or side."""
        parts = [
            f"{side}\0{sample.video_id}\0{sample.version}\0{sample.label}"
            for side, samples in (("train", self.train), ("validation", self.validation))
            for sample in samples
        ]
        return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()[:16]

    def rows(self, side: Literal["train", "validation"]) -> pa.Table:
        """video_id, uri, version, label_index of one side, in an order that is a function of the video ids only."""
        indices = {label: index for index, label in enumerate(self.labels)}
        samples = sorted(self.train if side == "train" else self.validation, key=lambda sample: sample.video_id)
        return pa.table(
            {
                "video_id": pa.array([sample.video_id for sample in samples], pa.string()),
                "uri": pa.array([sample.uri for sample in samples], pa.string()),
                "version": pa.array([sample.version for sample in samples], pa.string()),
                "label_index": pa.array(
                    [indices.get(sample.label or "", UNLABELLED) for sample in samples], pa.int32()
                ),
            }
        )


def read_samples(root: str) -> list[Sample]:
    """Every readable video of the catalog, with its label where it has one on the whole video.

    Raises:
        TableError: the root has no tables.
    """
    columns = ["video_id", "uri", "version", "duration_s"]
    videos = tables.read(root, "videos", columns, pc.field("status") == "ok").to_pylist()
    whole = pc.field("start_s").is_null() & pc.field("end_s").is_null()
    labels = tables.read(root, "labels", ["video_id", "label", "attributes"], whole).to_pylist()
    by_video = {row["video_id"]: row for row in sorted(labels, key=lambda row: str(row["label"]))}
    return [
        Sample(
            **video,
            label=by_video.get(video["video_id"], {}).get("label"),
            attributes=dict(by_video.get(video["video_id"], {}).get("attributes") or {}),
        )
        for video in videos
    ]


def select(
    samples: Sequence[Sample],
    *,
    validation_fraction: float,
    seed: int,
    group_column: str | None = "source_group",
    split_column: str | None = None,
) -> Selection:
    """Divide videos into training and validation, whole groups at a time.

    Args:
        samples: From read_samples.
        validation_fraction: Share of the videos to measure on, in [0, 1); met as closely as whole groups allow.
        seed: Another seed draws other groups.
        group_column: Attribute that names the source of a video; videos of one source never stand on both sides.
            Videos without it are groups of their own.
        split_column: Attribute whose value is `train` on what may be learned from; everything else is held out.
    Raises:
        ConfigError: no video is left to learn from, or the split column is nowhere to be found.
    """
    if split_column is not None and not any(split_column in sample.attributes for sample in samples):
        known = sorted({name for sample in samples for name in sample.attributes})
        raise ConfigError("No label has the split column.", where="--split-column", got=split_column, expected=known)
    usable = [s for s in samples if split_column is None or s.attributes.get(split_column) == "train"]
    measured = _validation_groups([group_of(s, group_column) for s in usable], validation_fraction, seed)
    train = [s for s in usable if group_of(s, group_column) not in measured]
    if not train:
        cure = "catalog more videos, or lower --validation-fraction"
        raise ConfigError("There is no video to learn from.", where="videos", got=len(samples), cure=cure)
    validation = [s for s in usable if group_of(s, group_column) in measured]
    labels = sorted({sample.label for sample in train if sample.label is not None})
    return Selection(train, validation, len(samples) - len(usable), labels)


def group_of(sample: Sample, group_column: str | None) -> str:
    """The source of a video; a video without one is a source of its own."""
    return sample.attributes.get(group_column or "") or sample.video_id


def _validation_groups(groups: Sequence[str], fraction: float, seed: int) -> set[str]:
    """Whole groups, drawn by hash, until their videos are the wanted share; one group always stays for training."""
    sizes = Counter(groups)
    drawn = sorted(sizes, key=lambda group: hashlib.blake2b(f"{seed}\0{group}".encode()).digest())
    chosen: set[str] = set()
    num_chosen = 0
    for group in drawn[:-1]:
        if num_chosen + sizes[group] / 2 > fraction * len(groups):
            break
        chosen.add(group)
        num_chosen += sizes[group]
    return chosen
