"""The one frame that is on screen at a time of a video."""

from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from pipeline.decode.records import Clip
from pipeline.decode.sampling import SamplingConfig
from pipeline.decode.sandbox import Sandbox
from pipeline.errors import DecodeError

_MIN_TIME_S = 1.0 / 240  # the fastest sampling
_ONE_CLIP_S = 1e6  # a stride beyond the end of any video


@dataclass(frozen=True)
class Moment:
    """A time in a video, in seconds after its first shown frame."""

    uri: str
    time_s: float


def frame_at(sandbox: Sandbox, source: BinaryIO, time_s: float, *, size_px: int) -> NDArray[np.uint8]:
    """Decode up to a time.

    Args:
        sandbox: Decodes.
        source: Seekable binary file holding one container.
        time_s: Seconds after the first shown frame; after the end, the last frame is on screen.
        size_px: Height and width of the square result.
    Returns:
        uint8 (H, W, C) RGB, upright, its aspect ratio not kept.
    Raises:
        DecodeError: what `Sandbox.read_clips` raises before the frame; damage after it does not matter.
    """
    config, place = sampling_at(time_s, size_px=size_px)
    clips: list[Clip] = []
    try:
        clips.extend(sandbox.read_clips(source, config))
    except DecodeError:
        if not clips:
            raise
    pixels: NDArray[np.uint8] = clips[0].frames[place]
    return pixels


def sampling_at(time_s: float, *, size_px: int) -> tuple[SamplingConfig, int]:
    """A sampling whose only clip holds the frame shown at a time, and the place of that frame in it."""
    if time_s < _MIN_TIME_S:
        return SamplingConfig(frames_per_clip=1, sample_fps=1.0, stride_s=_ONE_CLIP_S, size_px=size_px), 0
    return SamplingConfig(frames_per_clip=2, sample_fps=1.0 / time_s, stride_s=_ONE_CLIP_S, size_px=size_px), 1
