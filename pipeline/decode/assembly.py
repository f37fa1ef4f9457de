"""Shown pictures become clips, as a stream and in bounded memory: pure, no video library.

picture   p0......p1..p2.........p3        on screen from its time up to the next one's
wanted    |  |  |  |  |  |  |  |  |        clip k, step i at k * stride_s + i / sample_fps
"""

import math
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.decode.records import Clip
from pipeline.decode.sampling import SamplingConfig, clip_timestamps, is_before, num_clips

Pixels = NDArray[np.uint8]  # (H, W, C) RGB
Draw = Callable[[Pixels], None]  # writes a picture where it is told to


class _OpenClip:
    """A clip that still waits for pictures, or for proof that the video lasts as long as it does."""

    def __init__(self, config: SamplingConfig, clip_index: int):
        self.clip_index = clip_index
        self.wanted_s: list[float] = clip_timestamps(config, clip_index).tolist()
        self.end_s = self.wanted_s[0] + config.clip_duration_s
        self.frames = np.empty((config.frames_per_clip, config.size_px, config.size_px, 3), np.uint8)
        self.pts_s: list[float] = []

    def take(self, draw: Draw, pts_s: float, until_s: float) -> None:
        """Take the picture on screen in [pts_s, until_s) for every wanted time in there."""
        while len(self.pts_s) < len(self.wanted_s) and is_before(self.wanted_s[len(self.pts_s)], until_s):
            draw(self.frames[len(self.pts_s)])
            self.pts_s.append(pts_s)

    def close(self, content_end_s: float) -> Clip:
        return Clip(
            clip_index=self.clip_index,
            start_s=self.wanted_s[0],
            end_s=min(self.end_s, content_end_s),
            num_frames=len(set(self.pts_s)),
            frames=self.frames,
            pts_s=np.array(self.pts_s, dtype=np.float64),
        )


class ClipAssembler:
    """Yields each clip as soon as nothing that follows can change it.

    Only pictures that some clip wants are asked for. Memory: the pictures of the clips open at one moment, of which
    there are about clip_duration_s / stride_s.
    """

    def __init__(self, config: SamplingConfig):
        self._config = config
        self._open: deque[_OpenClip] = deque()
        self._next_index = 0

    def show(self, draw: Draw, pts_s: float, until_s: float) -> Iterator[Clip]:
        """Take one picture that is on screen in [pts_s, until_s).

        Args:
            draw: Writes the pixels into a clip's own memory; called only when a clip wants them, then once for each
                wanted time.
            pts_s: When it comes on screen, in seconds after the first shown frame.
            until_s: When the next picture comes on screen.
        Returns:
            The clips that it completes, in order.
        """
        for clip in self._clips_before(until_s):
            clip.take(draw, pts_s, until_s)
            if until_s >= clip.end_s:
                self._open.popleft()  # all clips last equally long: the oldest is the first to be complete
                yield clip.close(until_s)

    def finish(self, draw: Draw, pts_s: float, end_s: float) -> Iterator[Clip]:
        """Take the last picture, on screen in [pts_s, end_s) and at every wanted time after it.

        Returns:
            The clips still open that `num_clips` keeps, in order.
        """
        num_kept = num_clips(self._config, end_s)
        while self._next_index < num_kept:
            self._start_clip()
        for clip in self._open:
            if clip.clip_index < num_kept:
                clip.take(draw, pts_s, math.inf)
                yield clip.close(end_s)

    def _clips_before(self, until_s: float) -> Iterator[_OpenClip]:
        """Clips that start before until_s; opened one at a time, so that a long still opens few at once."""
        yield from tuple(self._open)
        while is_before(self._next_index * self._config.stride_s, until_s):
            yield self._start_clip()

    def _start_clip(self) -> _OpenClip:
        self._open.append(_OpenClip(self._config, self._next_index))
        self._next_index += 1
        return self._open[-1]
