"""Which frame is wanted when: pure arithmetic, no video library.

clip 0   |i i i i|          frames_per_clip = 4, sample_fps = 4, stride_s = 0.5
clip 1       |i i i i|      a clip starts every stride_s seconds
         0   0.5   1   1.5  seconds after the first shown frame
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError

SAMPLING_VERSION = 2  # goes into the digest: raise it when the same config starts to mean other frames

# A frame is on screen from its pts up to the next pts; a time this close before a pts already counts as that pts.
# Half the 1 ms clock of Matroska and FLV, whose rounding moves 66.667 ms to 67; it swallows float rounding too.
TIME_TOLERANCE_S = 0.0005


@dataclass(frozen=True)
class SamplingConfig:
    """How a video is cut into clips.

    Args:
        frames_per_clip: T, in [1, 256].
        sample_fps: Frames a second inside a clip, in (0, 240].
        stride_s: Seconds between the starts of two clips, > 0.
        size_px: Height and width of the square frames, even, in [16, 512].
        skip_loop_filter: Decode without smoothing block edges (H.264, HEVC, VP8, VP9): 1.2 times as fast, other frames.
    Raises:
        ConfigError: a value is out of its range.
    """

    frames_per_clip: int = 16
    sample_fps: float = 16.0
    stride_s: float = 1.0
    size_px: int = 64
    skip_loop_filter: bool = False

    def __post_init__(self) -> None:
        rules = [
            ("frames_per_clip", _is_int(self.frames_per_clip) and 1 <= self.frames_per_clip <= 256, "int in [1, 256]"),
            ("sample_fps", _is_number(self.sample_fps) and 0 < self.sample_fps <= 240, "number in (0, 240]"),
            ("stride_s", _is_number(self.stride_s) and self.stride_s > 0, "number > 0, in seconds"),
            (
                "size_px",
                _is_int(self.size_px) and 16 <= self.size_px <= 512 and self.size_px % 2 == 0,
                "even int in [16, 512]",
            ),
        ]
        for name, holds, expected in rules:
            if not holds:
                raise ConfigError(f"{name} is out of range", where=name, got=getattr(self, name), expected=expected)

    @property
    def clip_duration_s(self) -> float:
        """Seconds one clip covers."""
        return self.frames_per_clip / self.sample_fps

    def digest(self) -> str:
        """Returns 16 hex digits that change whenever other frames would be shown."""
        meaning = {"version": SAMPLING_VERSION, **{name: float(value) for name, value in asdict(self).items()}}
        canonical = json.dumps(meaning, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def clip_timestamps(config: SamplingConfig, clip_index: int) -> NDArray[np.float64]:
    """Times wanted by one clip, in seconds after the first shown frame.

    Returns:
        float64 (T,), increasing.
    """
    steps = np.arange(config.frames_per_clip, dtype=np.float64)
    return clip_index * config.stride_s + steps / config.sample_fps


def is_before(time_s: float, boundary_s: float) -> bool:
    """Whether a wanted time lies before the pts at which the next frame comes on screen."""
    return time_s < boundary_s - TIME_TOLERANCE_S


def next_wanted_s(config: SamplingConfig, from_s: float) -> float:
    """The earliest time any clip wants that does not lie before from_s; clips never end.

    Args:
        from_s: When a frame comes on screen, in seconds after the first shown frame.
    """
    reach_s = (config.frames_per_clip - 1) / config.sample_fps
    first_clip = max(0, math.floor((from_s - reach_s) / config.stride_s) - 1)
    candidates = []
    for clip_index in range(first_clip, max(0, math.ceil(from_s / config.stride_s)) + 2):
        start_s = clip_index * config.stride_s
        first_step = max(0, math.floor((from_s - start_s) * config.sample_fps) - 1)
        wanted_s = (start_s + step / config.sample_fps for step in range(first_step, config.frames_per_clip))
        candidates.append(next((time_s for time_s in wanted_s if not is_before(time_s, from_s)), math.inf))
    return min(candidates)


def num_clips(config: SamplingConfig, duration_s: float) -> int:
    """Number of clips kept of a video whose frames cover [0, duration_s).

    A clip is kept when at least half of its times lie before the end; times after the end show the last frame.

    Args:
        duration_s: End of the last frame, in seconds after the first shown frame.
    Returns:
        At least 1: a video with one frame has one clip.
    """
    deciding_step_s = ((config.frames_per_clip + 1) // 2 - 1) / config.sample_fps
    latest_start_s = duration_s - deciding_step_s - TIME_TOLERANCE_S
    return max(1, math.ceil(latest_start_s / config.stride_s))


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
