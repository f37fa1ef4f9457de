"""A trial is scored at its rungs on videos it has not learned from; one that diverges is a result too."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.decode.sampling import SamplingConfig
from pipeline.train import epochs
from pipeline.train.clip_table import ClipTable
from pipeline.train.config import TrainConfig
from pipeline.tune.trials import Task, run_trial

pytestmark = pytest.mark.usefixtures("one_thread")

SAMPLING = SamplingConfig(frames_per_clip=4, sample_fps=4.0, stride_s=1.0, size_px=16)
CPU = torch.device("cpu")


def table(names: str, *, labels: list[int] | None = None) -> ClipTable:
    """Two clips a video: dark videos are class 0, bright ones class 1."""
    given = labels or [place % 2 for place in range(len(names))]
    rows = [(name, clip, given[place], place % 2) for place, name in enumerate(names) for clip in range(2)]
    frames = [np.full(4 * 16 * 16 * 3, 40 + 150 * look + 5 * clip, np.uint8).tobytes() for _, clip, _, look in rows]
    columns = {"video_id": [name for name, *_ in rows], "clip_index": pa.array([r[1] for r in rows], pa.int32())}
    label = pa.array([row[2] for row in rows], pa.int32())
    packed = pa.array(frames, pa.binary(4 * 16 * 16 * 3))
    return ClipTable([pa.table({**columns, "label_index": label, "frames": packed})], SAMPLING)


TASK = Task(
    train=TrainConfig(epochs=3, batch_size=8, precision="fp32", colour_jitter=0.0),
    sampling=SAMPLING,
    num_classes=2,
    groups={name: name for name in "abcdefghijkl"},
    metric="probe",
    rungs=[1, 3],
)
TRAIN, VALIDATION = table("abcdefgh"), table("ijkl")


@pytest.mark.parametrize(
    ("metric", "least", "most"), [("probe", 1.0, 1.0), ("r1", 1.0, 1.0), ("recon_error", 0.01, 1.0)]
)
def test_a_trial_is_scored_at_every_rung(metric: Any, least: float, most: float) -> None:
    states = list(run_trial(4, {"learning_rate": 1e-3}, replace(TASK, metric=metric), TRAIN, VALIDATION, CPU))
    assert [state.epoch for state in states] == [1, 3]
    assert states[-1].number == 4
    assert states[-1].setting == {"learning_rate": 1e-3}
    assert all(least <= score <= most for score in states[-1].scores.values()), "dark and bright are easily told apart"


def test_a_probe_judges_validation_videos_only() -> None:
    """Labels of the validation videos turned round: whatever was learned, all are wrong."""
    turned = table("ijkl", labels=[1, 0, 1, 0])
    assert list(run_trial(0, {}, TASK, TRAIN, turned, CPU))[-1].score == 0


def test_the_same_trial_has_the_same_scores() -> None:
    first, second = (list(run_trial(0, {}, replace(TASK, metric="recon_error"), TRAIN, VALIDATION, CPU)) for _ in "12")
    assert [state.scores for state in first] == [state.scores for state in second]


def test_a_trial_that_diverges_says_so_and_has_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    real, num_steps = epochs.train_step, 0

    def blown_up(model: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal num_steps
        num_steps += 1
        if num_steps == 4:
            with torch.no_grad():
                next(model.parameters()).fill_(float("nan"))
        return real(model, *arguments, **options)

    monkeypatch.setattr(epochs, "train_step", blown_up)
    last = list(run_trial(0, {}, TASK, TRAIN, VALIDATION, CPU))[-1]
    assert last.error is not None
    assert "diverged" in last.error
    assert last.epoch == 1
    assert np.isnan(last.score)
