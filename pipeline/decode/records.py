"""What decoding yields: facts about a video, and clips of it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class VideoInfo:
    """What the headers of a video say; None where they say nothing believable.

    container is FFmpeg's demuxer name ("matroska,webm"), codec the coding standard ("av1", not "libdav1d").
    width and height are as stored; turning the picture clockwise by rotation_deg shows it upright.
    num_frames may lie: J-HMDB's AVI headers announce 3 to 8 frames too many.
    """

    container: str
    codec: str
    width: int | None
    height: int | None
    fps: float | None
    duration_s: float | None
    num_frames: int | None
    num_frames_source: Literal["container", "estimated"]
    rotation_deg: Literal[0, 90, 180, 270]
    has_audio: bool


@dataclass(frozen=True)
class Clip:
    """One time slice, upright; times are seconds after the first shown frame, [start_s, end_s).

    frames is uint8 (T, H, W, C) RGB with H = W = size_px: the whole picture scaled to the square.
    pts_s is float64 (T,): when each of them really came on screen. num_frames counts the distinct ones.
    """

    clip_index: int
    start_s: float
    end_s: float
    num_frames: int
    frames: NDArray[np.uint8]
    pts_s: NDArray[np.float64]
