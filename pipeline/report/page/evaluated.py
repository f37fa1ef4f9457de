"""What `sora evaluate` found of a model, where it was run."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline import storage
from pipeline.errors import ConfigError
from pipeline.evaluate.record import CONFUSION, folder_of, read

_MOST_CLASSES = 40


@dataclass(frozen=True)
class Kind:
    """The figures of one kind of vector: the model's, or a control's."""

    name: str
    probe: float
    low: float
    high: float
    knn: float
    r1: float
    map: float
    effective_rank: float


@dataclass(frozen=True)
class Confusion:
    """Of each true class (row) the share that was taken for each class (column), in [0, 1]."""

    classes: Sequence[str]
    shares: Sequence[Sequence[float]]
    num_videos: Sequence[int]  # of each true class
    num_classes: int  # of which `classes` are the most frequent


@dataclass(frozen=True)
class Evaluated:
    """An evaluation, or in words why there is none."""

    kinds: Sequence[Kind] = ()
    splits: Sequence[str] = ()
    psnr_db: float | None = None
    ssim: float | None = None
    confusion: Confusion | None = None
    reason: str = ""


def evaluated(root: str, version: str) -> Evaluated:
    """The kept evaluation of a model."""
    try:
        found = read(root, version)
        kinds = [_kind(f"model {version}", found)]
        kinds += [_kind(name.replace("_", " "), one) for name, one in found["controls"].items() if one is not None]
        splits = [str(split) for split in found["split"]]
        return Evaluated(kinds, splits, found["psnr_z"], found["ssim_z"], _confusion(root, version))
    except ConfigError as e:
        return Evaluated(reason=f"{e.what} {str(e.cure).capitalize()}.")
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        return Evaluated(reason=f"The evaluation of model {version} is damaged: {e!r}. Run `sora evaluate` again.")


def _kind(name: str, one: dict[str, Any]) -> Kind:
    probe, ranks = one["linear_probe"], one["retrieval"]
    low, high = (float(bound) for bound in probe["ci95"])
    shares = float(probe["mean"]), low, high, float(one["knn"]), float(ranks["r1"]), float(ranks["map"])
    return Kind(name, *shares, float(one["effective_rank"]))


def _confusion(root: str, version: str) -> Confusion | None:
    try:
        found = json.loads(storage.read_bytes(storage.join(folder_of(root, version), CONFUSION)))
    except FileNotFoundError:
        return None
    counts = np.asarray(found["counts"], dtype=np.int64)
    classes = [str(name) for name in found["classes"]]
    if counts.shape != (len(classes), len(classes)):
        raise ValueError(f"{len(classes)} classes, counts of shape {counts.shape}")
    shown = np.sort(np.argsort(-counts.sum(axis=1), kind="stable")[:_MOST_CLASSES])
    shares = counts[shown][:, shown] / np.maximum(counts[shown].sum(axis=1, keepdims=True), 1)
    totals = counts[shown].sum(axis=1).tolist()
    return Confusion([classes[index] for index in shown], shares.tolist(), totals, len(classes))
