"""What decoding yields: facts about a video, a first look at it, and clips of it."""

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
class Preview:
    """What the packets and a few key frames of a video say; None where they cannot say it.

    motion_score is key pictures' worth of change a second, 0 for a still; cut_candidates_s are seconds after the
    first shown frame, strictly increasing: see `pipeline.decode.packets`. content_digest is 32 hex digits
    over the coded video, whatever container, name, tags or sound are around it. perceptual_digest is 16 hex digits:
    see `pipeline.decode.perceptual`.
    """

    motion_score: float | None
    cut_candidates_s: tuple[float, ...] | None
    content_digest: str
    perceptual_digest: str | None


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
