"""A video decoded by a plan: only what its clips need, and the same frames to the bit. Runs on untrusted bytes."""

import heapq
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av.error
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.decode import bitstream
from pipeline.decode.demuxing import VideoPacket
from pipeline.decode.limits import DecodeLimits
from pipeline.decode.opening import is_out_of_memory
from pipeline.decode.plan import Clock, Coded, Decode, Pass, PlanError, Restart, Seek, is_worth_it, plan
from pipeline.decode.probe import believable_fps
from pipeline.decode.sampling import SamplingConfig
from pipeline.decode.timeline import period_s

# Containers that store presentation times; in others, such as AVI, FFmpeg makes them up, and wrong for B-frames.
TIMED = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv", "mpegts", "nut"}
NUM_WATCHED = 8  # packets decoded whole at first: a stream whose times contradict its pictures mostly does so at once
MIN_SEEK_PACKETS = 32  # reading that many and leaving them out costs about what a seek does


@dataclass(frozen=True)
class Placed:
    """A frame in the order of presentation; frame is None where it was passed over."""

    frame: VideoFrame | None
    time_s: float
    end_s: float


def can_plan(stream: VideoStream, config: SamplingConfig) -> bool:
    """Whether anything can be left out of this stream that no clip wants, and enough to pay for looking ahead."""
    codec, fps = stream.codec_context, believable_fps(stream)
    if fps is None or not stream.time_base or not is_worth_it(config, float(fps)):
        return False
    return stream.container.format.name in TIMED and (codec.codec.intra_only or codec.name in ("h264", "hevc"))


def planned_frames(
    container: InputContainer, stream: VideoStream, config: SamplingConfig, limits: DecodeLimits
) -> Iterator[Placed]:
    """Every frame that a clip wants, decoded, and the times of those around it.

    Raises:
        PlanError: the stream does not do what the plan rests on, damage included; decode it from start to end instead.
    """
    return _Execution(container, stream, config, limits).run()


class _Execution:
    def __init__(
        self, container: InputContainer, stream: VideoStream, config: SamplingConfig, limits: DecodeLimits
    ) -> None:
        self._container, self._stream, self._config = container, stream, config
        self._codec = stream.codec_context
        ticks = stream.time_base or Fraction(0)
        time_base = Fraction(ticks.numerator, ticks.denominator)
        self._clock = Clock(time_base, period_s(believable_fps(stream)), limits.max_gap_s)
        self._extradata = self._codec.extradata or b""
        self._skips = bitstream.can_skip_nonref(self._codec.name, self._extradata)
        self._packets = container.demux(stream)
        self._num_sent = 0
        self._is_sent = False  # whether the decoder may hold a frame
        self._awaited: list[int] = []  # pts of packets sent that must come out; a heap
        self._passed: list[tuple[int, int]] = []  # (pts, duration) of those that need not; a heap
        self._last_pts: int | None = None
        self._has_jumped = False

    def run(self) -> Generator[Placed]:
        depth = self._codec.reorder_depth
        for step in plan(self._coded(), self._config, self._clock, self._find_key, max_reorder=depth):
            match step:
                case Decode(coded, is_wanted):
                    yield from self._decode(coded, is_wanted)
                case Pass(coded):
                    heapq.heappush(self._passed, (coded.pts, coded.duration or 0))
                case Restart():
                    yield from self._restart()
                case Seek(ticks):
                    yield from self._restart()
                    self._seek(ticks)
        yield from self._restart()

    def _coded(self) -> Iterator[Coded]:
        while (packet := self._next_packet()) is not None:
            if packet.pts is None or packet.is_corrupt or packet.is_discard:
                raise PlanError("a packet without a time, or one that is damaged or hidden")
            is_restart = packet.is_keyframe and (
                self._codec.codec.intra_only
                or bitstream.is_restart(self._codec.name, self._extradata, memoryview(packet))
            )
            yield Coded(packet.pts, packet.dts, packet.duration, packet.size, is_restart, packet)

    def _next_packet(self) -> "VideoPacket | None":
        try:
            packet = next(self._packets, None)
        except av.error.FFmpegError as e:
            raise PlanError(f"the container is damaged: {e}") from e
        return packet if packet is not None and packet.size else None  # the last, empty one is PyAV's own

    def _find_key(self, after_dts: float, until_dts: int) -> int | None:
        """Only where the index has every frame on the way, in order and without a gap, is nothing unknown jumped."""
        index = self._stream.index_entries
        key, here = index.search_timestamp(until_dts), index.search_timestamp(int(after_dts), any_frame=True)
        if here < 0 or key - here < MIN_SEEK_PACKETS or index[here].timestamp != after_dts:
            return None
        max_gap = self._clock.max_gap_s / self._clock.time_base
        last = int(after_dts)
        for place in range(here + 1, key + 1):
            dts = index[place].timestamp
            if not 0 < dts - last <= max_gap:
                return None
            last = dts
        return last

    def _decode(self, coded: Coded, is_wanted: bool) -> Iterator[Placed]:
        self._num_sent += 1
        may_skip = self._skips and not is_wanted and self._num_sent > NUM_WATCHED
        self._codec.skip_frame = "NONREF" if may_skip else "DEFAULT"
        if may_skip:
            heapq.heappush(self._passed, (coded.pts, coded.duration or 0))
        else:
            heapq.heappush(self._awaited, coded.pts)
        self._is_sent = True
        yield from self._out(coded.packet)

    def _out(self, packet: "VideoPacket | None") -> Iterator[Placed]:
        try:
            frames = self._codec.decode(packet)
        except av.error.FFmpegError as e:
            if is_out_of_memory(e):
                raise
            raise PlanError(f"damaged: {e}") from e
        for frame in frames:
            if frame.is_corrupt or frame.pts is None:
                raise PlanError("a damaged frame, or one without a time")
            yield from self._passed_before(frame.pts)
            if self._passed and self._passed[0][0] == frame.pts:  # others lean on it, so it was decoded after all
                heapq.heappop(self._passed)
            elif not self._awaited or heapq.heappop(self._awaited) != frame.pts:
                raise PlanError("a frame came out of turn, or not at all")
            yield self._placed(frame, frame.pts, frame.duration)

    def _passed_before(self, pts: int | None) -> Iterator[Placed]:
        while self._passed and (pts is None or self._passed[0][0] < pts):
            passed_pts, duration = heapq.heappop(self._passed)
            yield self._placed(None, passed_pts, duration)

    def _placed(self, frame: VideoFrame | None, pts: int, duration: int | None) -> Placed:
        time_s = self._clock.seconds(pts)
        if self._last_pts is not None:
            step_s = time_s - self._clock.seconds(self._last_pts)
            if step_s <= 0 or (step_s > self._clock.max_gap_s and not self._has_jumped):
                raise PlanError(f"a step of {step_s} s from one frame to the next")
        self._last_pts, self._has_jumped = pts, False
        return Placed(frame, time_s, self._clock.end_s(pts, duration))

    def _restart(self) -> Iterator[Placed]:
        """Everything that was sent or passed over comes out."""
        if self._is_sent:
            depth = self._codec.reorder_depth
            yield from self._out(None)
            self._codec.flush_buffers()
            self._codec.reorder_depth = depth  # FFmpeg forgets it, and would give frames out too early
        self._is_sent = False
        if self._awaited:
            raise PlanError("a frame did not come out")
        yield from self._passed_before(None)

    def _seek(self, ticks: int) -> None:
        try:
            self._container.seek(ticks, stream=self._stream)
        except av.error.FFmpegError as e:
            raise PlanError(f"no seeking here: {e}") from e
        self._packets = self._container.demux(self._stream)
        self._has_jumped = True
