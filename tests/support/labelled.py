"""Planted roots with classes: each class has a direction, each source a place of its own, and both are noisy."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.tasks.classify.config import PredictConfig
from pipeline.tasks.classify.prediction import plan_prediction, predict
from tests.support.planted import DS, Planted, planted_root

DIM = 8
NUM, SLICES, NOISE = 48, 2, 3.0  # of the root with a trained head


def labelled_videos(
    num_videos: int, *, num_classes: int = 3, noise: float = 1.0, first: int = 0, slices: int = 2, dim: int = DIM
) -> dict[str, Planted]:
    """Videos first, first + 1, ... in sources of two of every class; the first three quarters are for training."""
    centers = 3.0 * np.random.default_rng(1).normal(size=(num_classes, dim))
    videos = {}
    for index in range(first, first + num_videos):
        rng = np.random.default_rng([2, index])
        shown = centers[index % num_classes] + noise * rng.normal(size=dim)
        attributes = {
            "source_group": f"source{index // (2 * num_classes):03}",
            "split1": "train" if (index - first) < 0.75 * num_videos else "test",
        }
        vectors = shown + 0.3 * noise * rng.normal(size=(slices, dim))
        videos[f"file:///v{index:04}.mp4"] = Planted(vectors, f"class{index % num_classes}", attributes)
    return videos


def labelled_root(folder: Path, num_videos: int = 48, *, num_classes: int = 3, noise: float = 1.0) -> str:
    """A root with the videos, cataloged, labelled and extracted."""
    return planted_root(str(folder / "root"), labelled_videos(num_videos, num_classes=num_classes, noise=noise))


def run_predict(root: str, **options: Any) -> int:
    """Predict in this process; returns the number of videos."""
    plan = plan_prediction(PredictConfig(root, **options))
    return predict(plan, run_key="r" * 16, ds=DS).videos


def set_foreign(root: str, column: str) -> None:
    """The second slice of every video says that something else made it."""

    def changed(taken: pa.Table) -> pa.Table:
        index = taken.column_names.index(column)
        return taken.set_column(index, taken.schema.field(index), pa.array(["x"] * taken.num_rows))

    tables.replace(root, "features", pc.field("clip_index") == 1, changed)
