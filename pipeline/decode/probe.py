"""What the headers of a video say. Runs on untrusted bytes: call it through `sandbox.py`."""

from fractions import Fraction
from itertools import islice
from typing import BinaryIO, Literal

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from pipeline.decode.limits import DecodeLimits
from pipeline.decode.opening import container_is_out_of_memory, ffmpeg_errors_as, open_video
from pipeline.decode.picture import display_matrix
from pipeline.decode.records import VideoInfo

__all__ = ["VideoInfo", "probe"]

MAX_BELIEVABLE_FPS = 1000  # high-speed cameras write at most 960
MAX_BELIEVABLE_PERIOD_S = 600  # as `max_gap_s`: a damaged header that said 5000 made one still 5000 s long
MAX_BELIEVABLE_S = 31 * 24 * 3600.0  # a month; headers were seen that say 1e15 s
ROTATABLE = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}  # the containers that can carry a display matrix
MAX_ROTATION_PACKETS = 8


def probe(source: BinaryIO, limits: DecodeLimits) -> VideoInfo:
    """Read the headers of a video; at most its first frame is decoded, for the display matrix.

    Args:
        source: Seekable binary file holding one container.
    Raises:
        DecodeError: what `open_video` raises.
    """
    with ffmpeg_errors_as("the headers cannot be read", "open_failed"), open_video(source, limits) as opened:
        return _info(*opened, limits)


def believable_fps(stream: VideoStream) -> Fraction | None:
    """The average frame rate, else FFmpeg's guess; None where neither lies in [1/600, 1000]."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate is not None and Fraction(1, MAX_BELIEVABLE_PERIOD_S) <= rate <= MAX_BELIEVABLE_FPS:
            return Fraction(rate.numerator, rate.denominator)
    return None


def _info(container: InputContainer, stream: VideoStream, limits: DecodeLimits) -> VideoInfo:
    fps, duration_s = believable_fps(stream), _believable_duration_s(container, stream)
    num_frames, num_frames_source = _num_frames(stream, fps, duration_s, limits)
    return VideoInfo(
        container=container.format.name,
        codec=stream.codec_context.codec.canonical_name,
        width=stream.codec_context.width or None,
        height=stream.codec_context.height or None,
        fps=float(fps) if fps else None,
        duration_s=duration_s,
        num_frames=num_frames,
        num_frames_source=num_frames_source,
        rotation_deg=_rotation_deg(container, stream),
        has_audio=len(container.streams.audio) > 0,
    )


def _believable_duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    ticks = stream.time_base
    candidates = (
        (stream.duration or 0) * ticks.numerator / ticks.denominator if ticks else 0.0,
        (container.duration or 0) / av.time_base,
    )
    return next((float(duration_s) for duration_s in candidates if 0 < duration_s <= MAX_BELIEVABLE_S), None)


def _num_frames(
    stream: VideoStream, fps: Fraction | None, duration_s: float | None, limits: DecodeLimits
) -> tuple[int | None, Literal["container", "estimated"]]:
    if 0 < stream.frames <= limits.max_frames:
        return stream.frames, "container"
    return (round(duration_s * fps) or None if fps and duration_s else None), "estimated"


def _rotation_deg(container: InputContainer, stream: VideoStream) -> Literal[0, 90, 180, 270]:
    """Clockwise quarter turns of the first frame; PyAV shows a stream's display matrix nowhere but on its frames."""
    if container.format.name not in ROTATABLE:
        return 0
    try:
        for packet in islice(container.demux(stream), MAX_ROTATION_PACKETS):
            for frame in packet.decode():
                return _clockwise_deg(display_matrix(frame))
    except av.error.FFmpegError as e:
        if container_is_out_of_memory(e):
            raise
    return 0


def _clockwise_deg(matrix: tuple[int, int, int, int] | None) -> Literal[0, 90, 180, 270]:
    if matrix is None:
        return 0
    a, b, c, d = matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        return 90 if b > 0 else 270
    return 180 if a < 0 and d < 0 else 0
