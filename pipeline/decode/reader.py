"""Clips of a video, in one pass. Runs on untrusted bytes: call it through `sandbox.py`.

A plan leaves out what no clip wants; where a stream does not keep to what plans rest on, every frame is decoded in
sequence. Both show the same frames, to the bit.
"""

import logging
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import BinaryIO

import av.error
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.decode.assembly import ClipAssembler, Draw, Pixels
from pipeline.decode.demuxing import all_packets
from pipeline.decode.limits import DecodeLimits
from pipeline.decode.opening import ffmpeg_errors_as, is_out_of_memory, open_video
from pipeline.decode.picture import Squarer
from pipeline.decode.plan import PlanError
from pipeline.decode.planned import can_plan, planned_frames
from pipeline.decode.probe import believable_fps
from pipeline.decode.records import Clip
from pipeline.decode.sampling import SamplingConfig
from pipeline.decode.timeline import Timeline
from pipeline.errors import DecodeError

__all__ = ["Clip", "read_clips"]

_log = logging.getLogger(__name__)


def read_clips(source: BinaryIO, config: SamplingConfig, limits: DecodeLimits) -> Iterator[Clip]:
    """Decode the first video stream and yield its clips as they fill.

    What damage leaves over is kept: corrupt packets are skipped, frames flagged corrupt are not shown, and only after
    the last good clip the damage is raised. Damage in frames that no clip wants may go unseen.

    Args:
        source: Seekable binary file holding one container.
    Returns:
        Clips in order of clip_index, as many as `num_clips` keeps of the frames that really decode.
    Raises:
        DecodeError: what `open_video` raises; corrupt (not one whole frame), partial (damage, after the good clips),
            too_large (a limit was reached on the way).
    """
    num_read = 0
    try:
        for clip in _clips(source, config, limits, may_plan=True):
            num_read += 1
            yield clip
    except PlanError as e:
        _log.debug("Decoded from start to end after %d clips: %s", num_read, e)
        yield from islice(_clips(source, config, limits, may_plan=False), num_read, None)


def _clips(source: BinaryIO, config: SamplingConfig, limits: DecodeLimits, *, may_plan: bool) -> Iterator[Clip]:
    tally = _Tally()
    with (
        ffmpeg_errors_as("the picture cannot be converted to RGB", "corrupt"),
        open_video(source, limits) as (container, stream),
    ):
        if config.skip_loop_filter:
            stream.codec_context.options = {**stream.codec_context.options, "skip_loop_filter": "all"}
        show = _planned if may_plan and can_plan(stream, config) else _in_sequence
        with closing(show(container, stream, config, limits, tally)) as shown:
            yield from _assembled(shown, config)
    if tally.is_damaged:
        raise DecodeError("part of the video is damaged; what decodes was kept", error_class="partial", got=tally)


class _Drawn:
    """Converts a frame the first time it is drawn, and copies those pixels the next times."""

    __slots__ = ("_frame", "_pixels", "_square")

    def __init__(self, square: Squarer, frame: VideoFrame):
        self._square, self._frame = square, frame
        self._pixels: Pixels | None = None

    def __call__(self, pixels: Pixels) -> None:
        if self._pixels is None:
            self._square(self._frame, pixels)
            self._pixels = pixels
        else:
            pixels[:] = self._pixels


@dataclass(frozen=True, slots=True)
class _Shown:
    """A picture and when it is on screen, if nothing follows."""

    draw: Draw
    time_s: float
    end_s: float


def _assembled(shown: Iterator[_Shown], config: SamplingConfig) -> Iterator[Clip]:
    assembler, last = ClipAssembler(config), None
    for one in shown:
        if last:
            yield from assembler.show(last.draw, last.time_s, one.time_s)
        last = one
    assert last is not None  # who shows nothing raises
    yield from assembler.finish(last.draw, last.time_s, last.end_s)


@dataclass
class _Tally:
    """What went by so far, good and bad."""

    frames: int = 0
    bytes: int = 0
    corrupt_packets: int = 0
    corrupt_frames: int = 0
    demux_errors: int = 0

    def note_demux_error(self) -> None:
        self.demux_errors += 1

    def __str__(self) -> str:
        return (
            f"{self.frames} good frames, {self.corrupt_frames} corrupt frames, "
            f"{self.corrupt_packets} corrupt packets, {self.demux_errors} container errors"
        )

    @property
    def is_damaged(self) -> bool:
        return bool(self.corrupt_packets or self.corrupt_frames or self.demux_errors)


def _in_sequence(
    container: InputContainer, stream: VideoStream, config: SamplingConfig, limits: DecodeLimits, tally: _Tally
) -> Generator[_Shown]:
    """Every frame, from start to end, past all damage."""
    square, timeline = Squarer(config.size_px), _timeline(stream, limits)
    with closing(_good_frames(container, stream, tally)) as frames:
        for frame in frames:
            time_s = timeline.place(frame.pts, frame.dts)
            end_s = timeline.end_s(frame.duration)
            _check_limits(frame.width * frame.height, tally, end_s, limits)
            yield _Shown(_Drawn(square, frame), time_s, end_s)
    if not tally.frames:
        raise DecodeError("not one whole frame could be decoded", error_class="corrupt", got=tally)


def _planned(
    container: InputContainer, stream: VideoStream, config: SamplingConfig, limits: DecodeLimits, tally: _Tally
) -> Generator[_Shown]:
    """The frames the clips want, and the times of the others."""
    square, num_pixels = Squarer(config.size_px), 0
    for placed in planned_frames(container, stream, config, limits):
        num_pixels = placed.frame.width * placed.frame.height if placed.frame else num_pixels
        _check_limits(num_pixels, tally, placed.end_s, limits)
        draw = _Drawn(square, placed.frame) if placed.frame else _unplanned
        yield _Shown(draw, placed.time_s, placed.end_s)
    if not tally.frames:
        raise PlanError("no frame")


def _unplanned(pixels: Pixels) -> None:
    raise PlanError("a frame is wanted that was passed over")


def _timeline(stream: VideoStream, limits: DecodeLimits) -> Timeline:
    fps = believable_fps(stream)
    # without a clock every timestamp is the same one, and frames follow each other at the guessed rate
    ticks = stream.time_base or Fraction(0)
    return Timeline(Fraction(ticks.numerator, ticks.denominator), fps=fps, max_gap_s=limits.max_gap_s)


def _check_limits(num_pixels: int, tally: _Tally, end_s: float, limits: DecodeLimits) -> None:
    tally.frames += 1
    tally.bytes += num_pixels * 3
    for what, used, allowed in (
        ("frames", tally.frames, limits.max_frames),
        ("decoded bytes", tally.bytes, limits.max_decoded_bytes),
        ("seconds", end_s, limits.max_duration_s),
    ):
        if used > allowed:
            raise DecodeError(f"too many {what}", error_class="too_large", got=used, expected=f"at most {allowed}")


def _good_frames(container: InputContainer, stream: VideoStream, tally: _Tally) -> Generator[VideoFrame]:
    for packet in all_packets(container, stream, tally.note_demux_error):
        if packet and packet.is_corrupt:  # the container lost a part of it, or what came before it
            tally.corrupt_packets += 1
        try:
            frames = stream.codec_context.decode(packet)
        except av.error.FFmpegError as e:
            if is_out_of_memory(e):
                raise
            tally.corrupt_packets += 1
            continue
        for frame in frames:
            if frame.is_corrupt:
                tally.corrupt_frames += 1
            else:
                yield frame
