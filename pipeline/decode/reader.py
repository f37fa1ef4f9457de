"""Clips of a video, in one sequential pass. Runs on untrusted bytes: call it through `sandbox.py`."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, partial
from typing import BinaryIO

import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.decode.assembly import ClipAssembler
from pipeline.decode.limits import DecodeLimits
from pipeline.decode.opening import container_is_out_of_memory, is_out_of_memory, open_video, out_of_memory
from pipeline.decode.picture import Squarer
from pipeline.decode.probe import believable_fps
from pipeline.decode.records import Clip
from pipeline.decode.sampling import SamplingConfig
from pipeline.decode.timeline import Timeline
from pipeline.errors import DecodeError

__all__ = ["Clip", "read_clips"]

MAX_DEMUX_ERRORS = 16  # in a row, without a packet between them: some demuxers repeat one error for ever


def read_clips(source: BinaryIO, config: SamplingConfig, limits: DecodeLimits) -> Iterator[Clip]:
    """Decode the first video stream once, from start to end, and yield its clips as they fill.

    What damage leaves over is kept: corrupt packets are skipped, frames flagged corrupt are not shown, and only after
    the last good clip the damage is raised.

    Args:
        source: Seekable binary file holding one container.
    Returns:
        Clips in order of clip_index, as many as `num_clips` keeps of the frames that really decode.
    Raises:
        DecodeError: what `open_video` raises; corrupt (not one whole frame), partial (damage, after the good clips),
            too_large (a limit was reached on the way).
    """
    try:
        with open_video(source, limits) as (container, stream):
            yield from _clips(container, stream, config, limits)
    except (MemoryError, av.error.FFmpegError) as e:
        if is_out_of_memory(e):
            raise out_of_memory(e) from e
        raise DecodeError("the picture cannot be converted to RGB", error_class="corrupt", got=str(e)) from e


@dataclass
class _Tally:
    """What went by so far, good and bad."""

    frames: int = 0
    bytes: int = 0
    corrupt_packets: int = 0
    corrupt_frames: int = 0
    demux_errors: int = 0

    def __str__(self) -> str:
        return (
            f"{self.frames} good frames, {self.corrupt_frames} corrupt frames, "
            f"{self.corrupt_packets} corrupt packets, {self.demux_errors} container errors"
        )

    @property
    def is_damaged(self) -> bool:
        return bool(self.corrupt_packets or self.corrupt_frames or self.demux_errors)


def _clips(
    container: InputContainer, stream: VideoStream, config: SamplingConfig, limits: DecodeLimits
) -> Iterator[Clip]:
    square, assembler, tally = Squarer(config.size_px), ClipAssembler(config), _Tally()
    timeline = _timeline(stream, limits)
    last = None
    with closing(_good_frames(container, stream, tally)) as frames:
        for frame in frames:
            time_s = timeline.place(frame.pts, frame.dts)
            if last:
                yield from assembler.show(*last, time_s)
            last = cache(partial(square, frame)), time_s  # held unconverted until its end is known
            end_s = timeline.end_s(frame.duration)
            _check_limits(frame, tally, end_s, limits)
    if not last:
        raise DecodeError("not one whole frame could be decoded", error_class="corrupt", got=tally)
    yield from assembler.finish(*last, end_s)
    if tally.is_damaged:
        raise DecodeError("part of the video is damaged; what decodes was kept", error_class="partial", got=tally)


def _timeline(stream: VideoStream, limits: DecodeLimits) -> Timeline:
    fps = believable_fps(stream)
    # without a clock every timestamp is the same one, and frames follow each other at the guessed rate
    ticks = stream.time_base or Fraction(0)
    return Timeline(Fraction(ticks.numerator, ticks.denominator), fps=fps, max_gap_s=limits.max_gap_s)


def _check_limits(frame: VideoFrame, tally: _Tally, end_s: float, limits: DecodeLimits) -> None:
    tally.frames += 1
    tally.bytes += frame.width * frame.height * 3
    for what, used, allowed in (
        ("frames", tally.frames, limits.max_frames),
        ("decoded bytes", tally.bytes, limits.max_decoded_bytes),
        ("seconds", end_s, limits.max_duration_s),
    ):
        if used > allowed:
            raise DecodeError(f"too many {what}", error_class="too_large", got=used, expected=f"at most {allowed}")


def _good_frames(container: InputContainer, stream: VideoStream, tally: _Tally) -> Generator[VideoFrame]:
    for packet in _packets(container, stream, tally):
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


def _packets(container: InputContainer, stream: VideoStream, tally: _Tally) -> Iterator["Packet[VideoStream] | None"]:
    """Packets to the end of the file and past errors of the container; the last is the one that flushes the decoder."""
    errors_in_a_row = 0
    while errors_in_a_row < MAX_DEMUX_ERRORS:
        try:
            for packet in container.demux(stream):
                errors_in_a_row = 0
                yield packet
            return
        except av.error.FFmpegError as e:
            if container_is_out_of_memory(e):
                raise
            errors_in_a_row += 1
            tally.demux_errors += 1
    yield None
