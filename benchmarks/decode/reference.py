"""Whether what was delivered shows the frames that were wanted.

The reference is PyAV, every frame in order, scaled by area with whole chroma: 0.2 to 0.4 of 255 from the exact mean of
the full picture, where FFmpeg's default is 1.9 to 2.5. A frame is compared with the wanted one and with its neighbours,
apart from its mean colour, in which scalers differ: where a neighbour is clearly more like it, the contender has shown
another time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from benchmarks.decode.wanted import SIZE_PX, Video

Frames = NDArray[np.uint8]
NUM_NEIGHBOURS = 3  # on either side
_EXACT = int(
    Interpolation.AREA | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP | Interpolation.ACCURATE_RND
)
_BLOCK_PX = 4  # compared as means of blocks: there scalers agree, and motion is what is left
MAX_COARSE_ABS = 8.0  # of 255, between means of blocks; beyond, it is another picture
_CLEARLY = 0.9  # a neighbour is more like it if its difference is below so much of the wanted frame's,
_CLEARLY_ABS = 0.1  # and lower by so much of 255: consecutive frames of J-HMDB are often the same picture


@dataclass(frozen=True)
class Deviation:
    """How delivered frames differ from the reference.

    mean_abs: Mean absolute difference of all pixels, of 255.
    wrong_frames: Frames that show another time, or another picture.
    missing_frames: Wanted and not delivered; negative where there were more.
    """

    mean_abs: float
    wrong_frames: int
    missing_frames: int


def reference_frames(video: Video) -> dict[int, Frames]:
    """The wanted frames and their neighbours by index: uint8 (H, W, C) RGB."""
    near = {index + step for index in video.indices for step in range(-NUM_NEIGHBOURS, NUM_NEIGHBOURS + 1)}
    reformatter = VideoReformatter()
    frames = {}
    with av.open(video.path) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for index, frame in enumerate(container.decode(video=0)):
            if index in near:
                scaled = reformatter.reformat(frame, SIZE_PX, SIZE_PX, "rgb24", interpolation=_EXACT)
                frames[index] = scaled.to_ndarray()
    return frames


def deviation(delivered: Frames, videos: Sequence[Video], references: Sequence[dict[int, Frames]]) -> Deviation:
    """Compare frame by frame.

    Args:
        delivered: uint8 (T, H, W, C), of all videos and clips in order.
        videos: What was wanted.
        references: What `reference_frames` gives of each video.
    """
    wanted = [(frames, index) for video, frames in zip(videos, references, strict=True) for index in video.indices]
    pairs = list(zip(delivered, wanted, strict=False))
    mean_abs = [_mean_abs(frame, frames[index]) for frame, (frames, index) in pairs]
    wrong = sum(_is_wrong(frame, frames, index) for frame, (frames, index) in pairs)
    return Deviation(round(float(np.mean(mean_abs)), 3) if pairs else 0.0, wrong, len(wanted) - len(delivered))


def _is_wrong(frame: Frames, frames: dict[int, Frames], index: int) -> bool:
    near = range(index - NUM_NEIGHBOURS, index + NUM_NEIGHBOURS + 1)
    coarse = _coarse(frame)
    off = {other: _mean_abs(coarse, _coarse(frames[other])) for other in near if other in frames}
    nearest = min(off.values())
    shows_another_time = nearest < _CLEARLY * off[index] and nearest < off[index] - _CLEARLY_ABS
    return off[index] > MAX_COARSE_ABS or shows_another_time


def _coarse(frame: Frames) -> NDArray[np.float64]:
    blocks = SIZE_PX // _BLOCK_PX
    means: NDArray[np.float64] = frame.reshape(blocks, _BLOCK_PX, blocks, _BLOCK_PX, 3).mean((1, 3))
    return means - means.mean((0, 1))


def _mean_abs(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    return float(np.abs(np.subtract(one, other, dtype=np.float64)).mean())
