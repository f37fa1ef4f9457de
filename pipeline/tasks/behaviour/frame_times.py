"""When each frame of a video is on screen, found by decoding: headers lie about it, and frame rates vary."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import storage
from pipeline.decode.sampling import SamplingConfig
from pipeline.decode.sandbox import Sandbox
from pipeline.errors import DecodeError
from pipeline.progress import OnProgress, Progress, unwatched

# Asked what is on screen 240 times a second, the reader names every frame there is, small enough to cost nothing more
# than its decoding. Frames less than 1/240 s apart count as one. Four times a slice: a last slice is kept when half of
# its times lie before the end, so that no last frame of 1/240 s or more is lost.
_RATE, _TIMES = 240.0, 4
_EVERYTHING = SamplingConfig(frames_per_clip=_TIMES, sample_fps=_RATE, stride_s=_TIMES / _RATE, size_px=16)


def frame_times_s(uris: Sequence[str], *, num_workers: int, on_progress: OnProgress = unwatched) -> list[Any]:
    """Presentation times of all frames of some videos, each decoded in a sandbox of its own thread.

    Args:
        uris: The videos.
        num_workers: Videos decoded at once, at least 1.
        on_progress: Told after every video.
    Returns:
        For each video float64 (num_frames,), seconds after the first shown frame, increasing; of a damaged video what
        comes before the damage, maybe nothing.
    """
    with ThreadPoolExecutor(num_workers) as pool:
        found = []
        for done, times_s in enumerate(pool.map(_frame_times_s, uris), start=1):
            found.append(times_s)
            on_progress(Progress("frames", done, len(uris), unit="videos"))
    return found


def _frame_times_s(uri: str) -> NDArray[np.float64]:
    parts: list[NDArray[np.float64]] = [np.zeros(0)]
    try:
        with Sandbox() as sandbox, storage.open_object(uri) as source:
            parts += [np.unique(clip.pts_s) for clip in sandbox.read_clips(source, _EVERYTHING)]
    except (DecodeError, OSError):  # its row in `failures` says so already; what was decoded before it counts
        pass
    return np.unique(np.concatenate(parts))
