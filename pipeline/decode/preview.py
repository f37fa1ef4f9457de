"""The cheap first look: every packet of a video and a few key frames. On untrusted bytes: call it through `sandbox.py`.

packets --sizes, times, key flags--> packets.py     motion score, cut candidates
        --bytes--------------------> blake2b        content digest
        --at most 5 key frames-----> perceptual.py  perceptual digest
"""

import hashlib
from array import array
from typing import BinaryIO

import av.error
import numpy as np
from av.container import InputContainer
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from pipeline.decode.demuxing import VideoPacket, all_packets
from pipeline.decode.limits import DecodeLimits
from pipeline.decode.opening import ffmpeg_errors_as, is_out_of_memory, open_video
from pipeline.decode.packets import Packets, cut_candidates_s, motion_score
from pipeline.decode.perceptual import THUMBNAIL_PX, perceptual_digest
from pipeline.decode.picture import display_matrix, turn_upright
from pipeline.decode.probe import believable_fps
from pipeline.decode.records import Preview
from pipeline.decode.timeline import period_s
from pipeline.errors import DecodeError

NUM_THUMBNAILS = 5
MAX_NOTED = 32
MAX_NOTED_BYTES = 256 << 20  # two key frames of uncompressed 8K, of the 2 GiB that the process may take
_NO_STAMP = -(1 << 63)


def preview(source: BinaryIO, limits: DecodeLimits) -> Preview:
    """Read every packet of the first video stream once, and decode at most five of its key frames.

    Damage is passed over: what can be read counts, and the digests of two equal files are equal.

    Args:
        source: Seekable binary file holding one container.
    Raises:
        DecodeError: what `open_video` raises; corrupt (not one packet), too_large (a limit was reached).
    """
    with ffmpeg_errors_as("the packets cannot be read", "corrupt"), open_video(source, limits) as (container, stream):
        return _preview(container, stream, limits)


def _preview(container: InputContainer, stream: VideoStream, limits: DecodeLimits) -> Preview:
    table, keys = _PacketTable(), KeyFrames()
    digest = hashlib.blake2b(stream.codec_context.codec.canonical_name.encode() + b"\0", digest_size=16)
    for packet in all_packets(container, stream, on_error=_pass_over):
        if packet is None or not packet.size:
            continue
        digest.update(packet)
        table.add(packet)
        keys.see(packet)
        if len(table) > limits.max_frames:
            expected = f"at most {limits.max_frames}"
            raise DecodeError("too many packets", error_class="too_large", got=len(table), expected=expected)
    if not len(table):
        raise DecodeError("not one packet of video", error_class="corrupt")
    packets = table.packets(stream, limits)
    cuts_s = cut_candidates_s(packets)
    thumbnails = [thumbnail for key in keys.spread() if (thumbnail := _thumbnail(key, stream)) is not None]
    return Preview(
        motion_score=motion_score(packets),
        cut_candidates_s=None if cuts_s is None else tuple(cuts_s.tolist()),
        content_digest=digest.hexdigest(),
        perceptual_digest=perceptual_digest(thumbnails),
    )


def _pass_over() -> None:
    """Damage of the container: what can be read counts."""


class KeyFrames:
    """Picks key frames spread evenly over a stream whose length is known only at its end, and holds few meanwhile.

    After every `stride` packets the last key frame is noted. When 32 are, every second note goes and the stride
    doubles. What counts is the key frame on screen at a moment, so that copies with other key frames show the same
    shots: encoders put a key frame at the start of each.

        packets   K..K.......K......K...    stride 4
        noted     K   K   K   K   K   K
    """

    def __init__(self) -> None:
        self._noted: list[VideoPacket] = []
        self._last: VideoPacket | None = None
        self._stride, self._until_note = 1, 0

    def see(self, packet: VideoPacket) -> None:
        """Take the next packet of the stream."""
        if packet.is_keyframe:
            self._last = packet
        if self._last is None:
            return
        if self._until_note == 0:
            self._noted.append(self._last)
            while len(self._noted) > MAX_NOTED or (len(self._noted) > NUM_THUMBNAILS and self._is_heavy()):
                del self._noted[1::2]
                self._stride *= 2
            self._until_note = self._stride
        self._until_note -= 1

    def spread(self) -> list[VideoPacket]:
        """At most five different key frames, in their order."""
        places = sorted({i * len(self._noted) // NUM_THUMBNAILS for i in range(NUM_THUMBNAILS)} if self._noted else ())
        return list(dict.fromkeys(self._noted[place] for place in places))

    def _is_heavy(self) -> bool:
        return sum(packet.size for packet in set(self._noted)) > MAX_NOTED_BYTES


class _PacketTable:
    """Sizes, stamps and flags of the packets so far: 25 bytes each."""

    def __init__(self) -> None:
        self._sizes, self._pts, self._dts, self._is_key = array("q"), array("q"), array("q"), array("b")

    def __len__(self) -> int:
        return len(self._sizes)

    def add(self, packet: VideoPacket) -> None:
        self._sizes.append(packet.size)
        self._pts.append(_NO_STAMP if packet.pts is None else packet.pts)
        self._dts.append(_NO_STAMP if packet.dts is None else packet.dts)
        self._is_key.append(packet.is_keyframe)

    def packets(self, stream: VideoStream, limits: DecodeLimits) -> Packets:
        """Everything so far, with times in seconds; too_large where they go on for too long."""
        frame_s, ticks = period_s(believable_fps(stream)), self._ticks(stream)
        tick_s = frame_s if ticks is None or stream.time_base is None else float(stream.time_base)
        time_s = seconds(np.arange(len(self)) if ticks is None else ticks, tick_s, frame_s, limits.max_gap_s)
        end_s = float(time_s.max()) + frame_s
        if end_s > limits.max_duration_s:
            expected = f"at most {limits.max_duration_s}"
            raise DecodeError("too many seconds", error_class="too_large", got=end_s, expected=expected)
        return Packets(np.array(self._sizes), time_s, np.array(self._is_key, np.bool_), end_s)

    def _ticks(self, stream: VideoStream) -> NDArray[np.int64] | None:
        """Presentation times, else decoding times, else None: a stamp is believed where every packet has it."""
        stamps = (np.array(self._pts), np.array(self._dts)) if stream.time_base else ()
        return next((ticks for ticks in stamps if _NO_STAMP not in ticks), None)


def seconds(ticks: NDArray[np.int64], tick_s: float, frame_s: float, max_gap_s: float) -> NDArray[np.float64]:
    """Ticks as seconds after the smallest; a gap beyond max_gap_s is a broken stamp and counts as one frame period.

    Returns:
        float64 (N,), in the order of the ticks.
    """
    order = np.argsort(ticks, kind="stable")
    steps_s = np.diff(ticks[order].astype(np.float64)) * tick_s
    steps_s[steps_s > max_gap_s] = frame_s
    time_s = np.zeros(len(ticks))
    time_s[order[1:]] = np.cumsum(steps_s)
    return time_s


def _thumbnail(packet: VideoPacket, stream: VideoStream) -> NDArray[np.uint8] | None:
    """The picture of one key frame: uint8 (32, 32), grey, upright; None where it does not decode."""
    context = stream.codec_context
    try:
        frames = [*context.decode(packet), *context.decode(None)]
    except av.error.FFmpegError as e:
        if is_out_of_memory(e):
            raise
        return None
    finally:
        context.flush_buffers()
    frame = next((frame for frame in frames if not frame.is_corrupt), None)
    if frame is None:
        return None
    # AREA: the mean of what lies under a pixel, so that the size of the copy does not matter.
    grey = VideoReformatter().reformat(
        frame,
        width=THUMBNAIL_PX,
        height=THUMBNAIL_PX,
        format="gray",
        interpolation=Interpolation.AREA,
        threads=1,
    )
    pixels: NDArray[np.uint8] = grey.to_ndarray()  # type: ignore[assignment]  # gray is always uint8
    return turn_upright(pixels, display_matrix(frame))
