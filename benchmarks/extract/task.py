"""What every contender is told, and which frames of a video make its clips. Imported in the peers' environments too."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.decode.sampling import TIME_TOLERANCE_S, SamplingConfig, clip_timestamps, num_clips

SAMPLING = {"frames_per_clip": 16, "sample_fps": 16.0, "stride_s": 1.0, "size_px": 64}
CLIPS_A_BATCH = 16  # as our own encoder takes them


@dataclass(frozen=True)
class Task:
    """One run of one contender.

    Args:
        videos: Paths of local files, in the order in which they are to be taken.
        model: Folder of the checkpoint.
        output: Empty folder for Parquet files with name, clip_index, embedding, recon_error and motion.
        num_workers: Processes or threads that may work at a time: one a core.
    """

    videos: list[str]
    model: str
    output: str
    num_workers: int

    @property
    def sampling(self) -> SamplingConfig:
        """How the model wants its clips cut."""
        return SamplingConfig(**SAMPLING)


def task_from(path: str) -> Task:
    """The task in a JSON file."""
    return Task(**json.loads(Path(path).read_text()))


def shown(pts_s: Sequence[float] | NDArray[np.float64], config: SamplingConfig) -> NDArray[np.int64]:
    """The frames on screen at the wanted times of every clip; the last frame lasts as long as the one before it.

    Args:
        pts_s: When each frame comes on screen, in seconds after the first, increasing.
    Returns:
        Indices, (clips, frames_per_clip).
    """
    times_s = np.asarray(pts_s, np.float64)
    last_s = times_s[-1] - times_s[-2] if len(times_s) > 1 else 0.0
    clips = range(num_clips(config, float(times_s[-1] + last_s)))
    wanted_s = np.stack([clip_timestamps(config, clip) for clip in clips])
    return np.searchsorted(times_s, wanted_s + TIME_TOLERANCE_S, side="right") - 1
