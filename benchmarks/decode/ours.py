"""What runs in this project's own environment: its reader, and a decoder that converts nothing."""

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks.decode.wanted import SIZE_PX, Video, Workload
from pipeline.decode.limits import DecodeLimits
from pipeline.decode.reader import read_clips
from pipeline.decode.records import Clip
from pipeline.decode.sampling import SamplingConfig

Frames = NDArray[np.uint8]


def sora(workload: Workload) -> list[Frames]:
    """The clips of `read_clips`."""
    return [frames for video in workload.videos for frames in _clips(video, workload.is_dense)]


def decode_only(workload: Workload) -> list[Frames]:
    """PyAV decodes every frame and throws it away: n frames of no pixels. Nothing above FFmpeg can be faster."""
    counts = []
    for video in workload.videos:
        with av.open(video.path) as container:
            container.streams.video[0].codec_context.thread_count = 1
            counts.append(sum(1 for _ in container.decode(video=0)))
    return [np.empty((count, 0, 0, 3), np.uint8) for count in counts]


def versions() -> dict[str, str]:
    """Of PyAV and its FFmpeg."""
    return {"av": av.__version__, "av_ffmpeg": av.ffmpeg_version_info}


def _clips(video: Video, is_dense: bool) -> list[Frames]:
    config = SamplingConfig(size_px=SIZE_PX, **video.sampling)
    with Path(video.path).open("rb") as source:
        clips = read_clips(source, config, DecodeLimits())
        return [_distinct(clip) if is_dense else clip.frames for clip in clips]


def _distinct(clip: Clip) -> Frames:
    """Each frame once: over a gap in the timestamps the reader repeats what was on screen."""
    is_new = np.diff(clip.pts_s, prepend=-1.0) > 0
    return clip.frames if is_new.all() else clip.frames[is_new]
