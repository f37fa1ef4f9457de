"""Wanted frames of a video, from the times of its packets.

every frame:     wanted  i i i i i i . i i      sample_fps is the finest spacing, so each frame is hit by one time;
                 frames  f f f f f f   f f      in a gap of the timestamps the frame before it is shown once more
some of them:    the frames that `SamplingConfig` shows
"""

import bisect
import itertools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av

from benchmarks.decode.wanted import SIZE_PX, Video
from pipeline.decode.sampling import TIME_TOLERANCE_S, SamplingConfig, clip_timestamps, num_clips

_MAX_CLIP = 64  # frames of a clip where every frame is wanted: 2.4 MB of pixels


def frame_times(path: str) -> list[Fraction]:
    """When each frame comes on screen, in seconds after the first: from the packets, nothing is decoded."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        ticks = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
        time_base = Fraction(stream.time_base.numerator, stream.time_base.denominator)
    return [(tick - ticks[0]) * time_base for tick in ticks]


def every_frame(path: str, times_s: Sequence[Fraction]) -> Video:
    """A video all of whose frames are wanted once."""
    sampling = dense_sampling(times_s)
    return Video(path, len(times_s), [list(range(len(times_s)))], [[float(time_s) for time_s in times_s]], sampling)


def sampled(path: str, times_s: Sequence[Fraction], **sampling: Any) -> Video:
    """A video of which the frames are wanted that a SamplingConfig shows."""
    config = SamplingConfig(size_px=SIZE_PX, **sampling)
    pts_s = [float(time_s) for time_s in times_s]
    clips = shown(pts_s, config)
    return Video(path, len(pts_s), clips, [[pts_s[index] for index in clip] for clip in clips], sampling)


def dense_sampling(times_s: Sequence[Fraction]) -> dict[str, Any]:
    """The sampling that hits every frame, in whole clips that follow each other without a gap.

    Args:
        times_s: Of at least two frames, increasing, all of them multiples of the smallest step.
    """
    step_s = min(after - before for before, after in itertools.pairwise(times_s))
    num_steps = round(times_s[-1] / step_s) + 1
    frames_per_clip = max(number for number in range(1, _MAX_CLIP + 1) if num_steps % number == 0)
    return {
        "frames_per_clip": frames_per_clip,
        "sample_fps": float(1 / step_s),
        "stride_s": float(frames_per_clip * step_s),
    }


def shown(pts_s: Sequence[float], config: SamplingConfig) -> list[list[int]]:
    """The frames on screen at the wanted times of every clip; the last frame lasts as long as the one before."""
    end_s = 2 * pts_s[-1] - pts_s[-2]
    return [
        [bisect.bisect_right(pts_s, time_s + TIME_TOLERANCE_S) - 1 for time_s in clip_timestamps(config, index)]
        for index in range(num_clips(config, end_s))
    ]
