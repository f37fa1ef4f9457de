"""Two behaviours of whole clips, such as fight and no fight, told apart in sources that nothing was learned from.

slices --mean--> one vector a clip --linear probe learned on all other sources--> prediction
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from pipeline.corpus import labels as labelling
from pipeline.errors import ConfigError
from pipeline.evaluate.intervals import grouped_interval
from pipeline.evaluate.probe import linear_probe
from pipeline.tasks.behaviour.folder_slices import folder_slices

MAX_FOLDS = 10  # more sources than this are dealt into as many folds, whole sources at a time
_SEED = 0


@dataclass(frozen=True)
class Fold:
    """What came of some sources, predicted by all others."""

    sources: list[str]
    num_clips: int
    accuracy: float


@dataclass(frozen=True)
class Binary:
    """How well two behaviours are told apart.

    Args:
        accuracy: Over all clips, each predicted by other sources only.
        ci95: Interval of it, from a bootstrap by source.
        folds: In the order of their first source.
        baseline: Accuracy of the more frequent behaviour of the other sources, everywhere.
        balanced_accuracy: Mean of the accuracies on either behaviour.
        num_clips: Clips of each behaviour.
        without: Labelled paths that have no vector, and why.
    """

    accuracy: float
    ci95: tuple[float, float]
    folds: list[Fold]
    baseline: float
    balanced_accuracy: float
    num_clips: dict[str, int]
    without: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """As plain numbers."""
        return {**vars(self), "ci95": list(self.ci95), "folds": [vars(fold) for fold in self.folds]}


@dataclass(frozen=True)
class LabelledClip:
    """What the CSV says of a clip."""

    label: str
    source: str


def read_clips(labels: str, *, corpus: str, group_column: str) -> dict[str, LabelledClip]:
    """The labelled clips, by uri.

    Args:
        labels: CSV with path,label,<group_column>.
        corpus: Normalized URI of the folder that relative paths are relative to.
        group_column: Names the source of each clip.
    Raises:
        ConfigError: the CSV cannot be read, has not exactly two labels, or names no source for a clip.
    """
    rows = {row.uri: row for row in labelling.read_csv(labels, corpus=corpus)}
    clips = {uri: LabelledClip(row.label, row.attributes.get(group_column, "").strip()) for uri, row in rows.items()}
    _require_two(labels, sorted({clip.label for clip in clips.values()}))
    lacking = sorted(uri for uri, clip in clips.items() if not clip.source)
    if lacking:
        cure = f"fill the column {group_column}, or name another with --group-column"
        got = f"{len(lacking)}, the first {lacking[0]}"
        raise ConfigError("Clips have no source.", where=labels, got=got, cure=cure)
    return clips


def binary(root: str, model: str, corpus: str, clips: Mapping[str, LabelledClip]) -> Binary:
    """Judge the vectors of a cataloged and extracted folder on its clips' labels.

    Args:
        root: The root's URI, normalized.
        model: Whose vectors.
        corpus: The folder, normalized.
        clips: From read_clips.
    Raises:
        ConfigError: what is left without some source is too little to learn from.
        CorpusError: not one video of the folder has vectors.
    """
    found = folder_slices(root, model, corpus)
    judged = [video for video in found.videos if video.uri in clips]
    if not judged:
        cure = "check the paths: they are relative to the folder"
        raise ConfigError("No labelled clip has vectors.", where=corpus, got=sorted(clips)[:3], cure=cure)
    there = {video.uri for video in judged}
    without = {uri: found.without.get(uri, "not in the folder") for uri in sorted(clips) if uri not in there}
    vectors = np.stack([video.vectors.mean(axis=0) for video in judged])
    of_video = [clips[video.uri] for video in judged]
    names, sources = [clip.label for clip in of_video], [clip.source for clip in of_video]
    return leave_sources_out(vectors, names, sources, without=without)


def leave_sources_out(
    vectors: NDArray[np.float64], names: Sequence[str], sources: Sequence[str], *, without: Mapping[str, str]
) -> Binary:
    """Predict every source by the others with evaluate.probe.linear_probe: its strength sees training sources only.

    Args:
        vectors: float64 (N, D), of the clips.
        names: Label of each clip, two different ones.
        sources: Of each clip.
        without: Labelled clips that are not among them, and why.
    Raises:
        ConfigError: there are not two labels, or what is left without some source is too little to learn from.
    """
    classes, labels = np.unique(np.array(names, dtype=np.str_), return_inverse=True)
    groups = np.array(sources, dtype=np.str_)
    _require_two("clips with vectors", classes.tolist())
    num_sources = len(np.unique(groups))
    if num_sources < 3:
        cure = "label clips of more sources: one is left out, and two are needed to learn and to choose from"
        raise ConfigError("There are too few sources.", got=num_sources, expected="at least 3", cure=cure)
    predicted, constant = np.zeros(len(labels), np.int64), np.zeros(len(labels), np.int64)
    folds = []
    for train, test in GroupKFold(min(num_sources, MAX_FOLDS)).split(vectors, labels, groups):
        is_train = np.zeros(len(labels), np.bool_)
        is_train[train] = True
        predicted[test] = linear_probe(vectors, labels.astype(np.int64), groups, is_train, seed=_SEED)
        constant[test] = np.bincount(labels[train]).argmax()
        held_out = sorted(set(groups[test].tolist()))
        folds.append(Fold(held_out, len(test), float((predicted[test] == labels[test]).mean())))
    right = predicted == labels
    return Binary(
        accuracy=float(right.mean()),
        ci95=grouped_interval(right, groups, seed=_SEED),
        folds=sorted(folds, key=lambda fold: fold.sources),
        baseline=float((constant == labels).mean()),
        balanced_accuracy=float(np.mean([right[labels == index].mean() for index in (0, 1)])),
        num_clips={str(name): int((labels == index).sum()) for index, name in enumerate(classes)},
        without=dict(without),
    )


def _require_two(where: str, classes: Sequence[str]) -> None:
    if len(classes) != 2:
        cure = "keep the clips of two labels, or use `sora evaluate` for more"
        raise ConfigError("There are not two behaviours.", where=where, got=classes, expected="two labels", cure=cure)
