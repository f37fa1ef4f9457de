"""Which packets of a video need decoding: pure arithmetic on their timestamps, no video library.

packets  K p b p b p b K p b p b p b ...     in decoding order; K: decoding can start anew here
wanted         ^                 ^           times some clip wants
steps    d d s d P P P R d d d s d P ...     d decode, s decode unless nothing leans on it, P pass over, R restart

A plan never guesses. It looks ahead until the timestamps prove which frame is on screen at a wanted time: a packet to
come has a later dts, and no frame is shown before it is decoded. Where timestamps do not keep to that it gives up with
PlanError, and the video is decoded from start to end.
"""

import math
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

from pipeline.decode.sampling import TIME_TOLERANCE_S, SamplingConfig, is_before, next_wanted_s, num_clips
from pipeline.decode.timeline import shown_for_s, ticks_to_s

MAX_HELD_BYTES = 64 << 20  # of packets that may turn out not to be needed; a second of 8K at 500 Mbit/s
MAX_HELD_PACKETS = 4096
MAX_OVERLAP = 64  # clips at one moment; the next wanted time is sought in all of them
WORTH_SHARE = 0.45  # of the frames wanted: a plan took 1.05 times the CPU at 0.6 of them, 0.87 times at 0.4


class PlanError(Exception):
    """The packets do not keep to what a plan rests on."""


@dataclass(frozen=True)
class Coded:
    """A packet: one frame, not decoded yet.

    pts, dts and duration are in ticks; dts may be None before the first that is known. is_restart: it and all frames
    shown after it decode without what came before.
    """

    pts: int
    dts: int | None
    duration: int | None
    num_bytes: int
    is_restart: bool
    packet: Any = field(default=None, compare=False)


@dataclass(frozen=True)
class Decode:
    """Decode a packet; where is_wanted is False it may be left out if no other frame leans on it."""

    coded: Coded
    is_wanted: bool


@dataclass(frozen=True)
class Pass:
    """Leave a packet out."""

    coded: Coded


@dataclass(frozen=True)
class Restart:
    """Let the decoder give out what it holds, and forget the past."""


@dataclass(frozen=True)
class Seek:
    """Restart, and go on reading at the last key frame at or before this time.

    Args:
        ticks: As the container's index counts them, plus the delay from dts to pts.
    """

    ticks: int


Step = Decode | Pass | Restart | Seek


@dataclass
class Clock:
    """Ticks as seconds after the first shown frame, for timestamps that can be believed.

    Args:
        time_base: Seconds in one tick.
        period_s: How long a frame is shown that does not say so.
        max_gap_s: The longest a frame may be shown.
        origin: The pts of the first shown frame; found out by the plan.
    """

    time_base: Fraction
    period_s: float
    max_gap_s: float
    origin: int = 0

    def seconds(self, pts: float) -> float:
        """When a frame comes on screen."""
        return ticks_to_s(pts - self.origin, self.time_base)

    def end_s(self, pts: int, duration: int | None) -> float:
        """When a frame leaves the screen that nothing follows."""
        return self.seconds(pts) + shown_for_s(duration, self.time_base, self.period_s, self.max_gap_s)

    def num_at(self, pts: Sequence[int], time_s: float) -> int:
        """How many of these frames, sorted, have come on screen at a time."""
        return bisect_right(pts, time_s, key=lambda one: self.seconds(one) - TIME_TOLERANCE_S)

    def ticks(self, time_s: float) -> int:
        """The last pts of a frame that is on screen at this time."""
        return self.origin + math.floor((time_s + TIME_TOLERANCE_S) / self.time_base)


class FindKey(Protocol):
    """The container's index."""

    def __call__(self, after_dts: float, until_dts: int) -> int | None:
        """The dts of the last key frame at or before until_dts; None unless it lies far enough after after_dts."""


def is_worth_it(config: SamplingConfig, fps: float) -> bool:
    """Whether enough frames are unwanted for a plan to pay."""
    steps = config.stride_s * config.sample_fps
    times_coincide = math.isclose(steps, round(steps), abs_tol=1e-6)  # of clips that overlap
    wanted_fps = min(config.frames_per_clip, config.clip_duration_s * fps + 1) / config.stride_s
    wanted_fps = min(wanted_fps, config.sample_fps) if times_coincide else wanted_fps
    return wanted_fps < WORTH_SHARE * fps and config.clip_duration_s <= MAX_OVERLAP * config.stride_s


def plan(
    coded: Iterator[Coded], config: SamplingConfig, clock: Clock, find_key: FindKey, *, max_reorder: int
) -> Iterator[Step]:
    """The steps after which every frame that some clip wants has been decoded as if all had been.

    Args:
        coded: Packets in decoding order; after a Seek the next one comes from there.
        clock: Its origin is set before the first step.
        find_key: The container's index.
        max_reorder: Frames that may go ahead of one in decoding order and follow it on screen; where a stream says
            fewer than it has, FFmpeg gives frames out in the wrong order.
    Raises:
        PlanError: the timestamps leave open what is on screen when.
    """
    window = _Window(coded, max_reorder)
    if window.fill():
        clock.origin = window.served_pts = window.lowest_pts
    while window.fill():
        wanted_s = next_wanted_s(config, clock.seconds(max(window.lowest_pts, window.served_pts)))
        key_dts = None if window.is_over else find_key(window.last_dts, clock.ticks(wanted_s) - window.delay)
        if key_dts is None:
            yield from _reach(window, config, clock, wanted_s)
        else:
            yield from _seek(window, clock, key_dts, wanted_s)


class _Window:
    """The packets read but not yet decided on, in decoding order."""

    def __init__(self, coded: Iterator[Coded], max_reorder: int):
        self._coded, self._max_reorder = coded, max_reorder
        self.pts: list[int] = []  # of what is held and of what was let go but may be shown after it; sorted
        self._num_bytes = 0
        self.held: deque[Coded] = deque()
        self.last_dts: float = -math.inf  # every frame shown up to here is known
        self.served_pts = 0  # what is wanted of frames before it was decoded already
        self.delay = 0  # the longest from a dts to its pts so far
        self.is_over = False

    @property
    def lowest_pts(self) -> int:
        return min(one.pts for one in self.held)

    @property
    def is_full(self) -> bool:
        return self._num_bytes > MAX_HELD_BYTES or len(self.held) > MAX_HELD_PACKETS

    def fill(self) -> bool:
        """Read until the first frame to be shown is known; False at the end."""
        while not self.is_over and not (self.held and self.lowest_pts <= self.last_dts):
            self.pull()
        return bool(self.held)

    def pull(self) -> None:
        one = next(self._coded, None)
        if one is None:
            self.is_over = True
            return
        place = bisect_left(self.pts, one.pts)
        is_known = place < len(self.pts) and self.pts[place] == one.pts
        dts = one.dts if one.dts is not None or self.last_dts > -math.inf else self.last_dts
        if is_known or dts is None or one.pts < dts or (one.dts is not None and dts <= self.last_dts):
            raise PlanError(f"timestamps out of order: pts {one.pts}, dts {one.dts} after dts {self.last_dts}")
        if len(self.pts) - place > self._max_reorder:
            raise PlanError(f"frames are reordered by more than the {self._max_reorder} places the stream announces")
        if one.dts is not None:
            self.last_dts = one.dts
            self.delay = max(self.delay, one.pts - one.dts)
        self._num_bytes += one.num_bytes
        self.held.append(one)
        self.pts.insert(place, one.pts)

    def next_pts(self, pts: int) -> int | None:
        """When the frame after this one comes on screen; None: it is the last."""
        while True:
            place = bisect_right(self.pts, pts)
            if place < len(self.pts) and (self.is_over or self.pts[place] <= self.last_dts):
                return self.pts[place]
            if self.is_over:
                return None
            self.pull()

    def pop(self) -> Coded:
        one = self.held.popleft()
        self._num_bytes -= one.num_bytes
        if len(self.pts) > 2 * len(self.held) + 64:
            needed = min([self.last_dts, *(other.pts for other in self.held)])  # nothing to come is shown earlier
            del self.pts[: bisect_left(self.pts, needed)]
        return one

    def drop_leading(self) -> None:
        """Leave out, unshown, what is decoded after the first packet held but shown before it."""
        first = self.held[0]
        while not self.is_over and self.last_dts < first.pts:
            self.pull()
        kept = [one for one in self.held if one.pts >= first.pts]
        self._num_bytes = sum(one.num_bytes for one in kept)
        self.held = deque(kept)

    def start_anew(self) -> None:
        """The next packet comes from elsewhere."""
        self.pts.clear()
        self.last_dts = -math.inf


def _seek(window: _Window, clock: Clock, key_dts: int, wanted_s: float) -> Iterator[Step]:
    while window.held:
        yield Pass(window.pop())
    window.start_anew()
    yield Seek(key_dts + window.delay)
    window.pull()
    if not window.held or not window.held[0].is_restart or is_before(wanted_s, clock.seconds(window.held[0].pts)):
        raise PlanError("the container's index leads astray")
    window.drop_leading()


def _reach(window: _Window, config: SamplingConfig, clock: Clock, wanted_s: float) -> Iterator[Step]:
    """Everything up to the frame on screen at a wanted time; that frame is not before the lowest one held."""
    while not (window.is_over or is_before(wanted_s, clock.seconds(window.last_dts))):
        if window.is_full:
            yield from _from_latest_restart(window, clock, wanted_s)
            if window.is_full:
                yield Decode(window.pop(), is_wanted=False)
            return
        window.pull()
    yield from _from_latest_restart(window, clock, wanted_s)
    target_pts = window.pts[clock.num_at(window.pts, wanted_s) - 1]
    next_pts = window.next_pts(target_pts)
    target = next((one for one in window.held if one.pts == target_pts), None)  # None: it went ahead of others
    if target and (next_pts is not None or _wants_last(config, clock, target)):
        while window.held[0] is not target:
            is_wanted = _is_wanted(window, config, clock, window.held[0])
            yield Decode(window.pop(), is_wanted)
        yield Decode(window.pop(), is_wanted=True)
    if next_pts is not None:
        window.served_pts = next_pts
        return
    while window.held:
        yield Pass(window.pop())


def _from_latest_restart(window: _Window, clock: Clock, wanted_s: float) -> Iterator[Step]:
    """Pass over what lies before the last packet from which the wanted frame can be decoded."""
    starts = [place for place, one in enumerate(window.held) if one.is_restart and place > 0]
    starts = [place for place in starts if not is_before(wanted_s, clock.seconds(window.held[place].pts))]
    if not starts:
        return
    for _ in range(starts[-1]):
        yield Pass(window.pop())
    yield Restart()
    window.drop_leading()


def _is_wanted(window: _Window, config: SamplingConfig, clock: Clock, one: Coded) -> bool:
    next_pts = window.next_pts(one.pts)
    return next_pts is None or is_before(next_wanted_s(config, clock.seconds(one.pts)), clock.seconds(next_pts))


def _wants_last(config: SamplingConfig, clock: Clock, last: Coded) -> bool:
    """Whether a clip that is kept shows the last frame; times after the end show it too."""
    num_kept = num_clips(config, clock.end_s(last.pts, last.duration))
    latest_s = (num_kept - 1) * config.stride_s + (config.frames_per_clip - 1) / config.sample_fps
    return not is_before(latest_s, clock.seconds(last.pts))
