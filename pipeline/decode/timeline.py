"""When a decoded frame comes on screen, whatever its timestamp claims: pure arithmetic."""

from fractions import Fraction

DEFAULT_FPS = Fraction(25)  # elementary streams often carry no rate; FFmpeg assumes the same
BACKWARD_JUMP_S = 1.0  # further back is a new timeline (chained Ogg, wrapped MPEG-TS); nearer is one bad timestamp


def ticks_to_s(ticks: float, time_base: Fraction) -> float:
    """Ticks as seconds, correctly rounded; as float(ticks * time_base), without the cost of a Fraction a frame."""
    return ticks * time_base.numerator / time_base.denominator


def shown_for_s(duration_ticks: int | None, time_base: Fraction, period_s: float, max_gap_s: float) -> float:
    """How long a frame is shown that nothing follows: as it says of itself, one period where that is absurd."""
    duration_s = ticks_to_s(duration_ticks or 0, time_base)
    return duration_s if 0 < duration_s <= max_gap_s else period_s


def period_s(fps: Fraction | None) -> float:
    """Seconds from one frame to the next."""
    return float(1 / (fps or DEFAULT_FPS))


class _FaultCounter:
    """Chooses between pts and dts by which of them ran backwards less often, as FFmpeg's best-effort timestamp does.

    AVI carries no pts: H.264 with B-frames then comes out with scrambled pts, while its dts stay in order.
    """

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._faults = {"pts": 0, "dts": 0}

    def choose(self, pts: int | None, dts: int | None) -> int | None:
        for name, ticks in (("pts", pts), ("dts", dts)):
            if ticks is not None:
                self._faults[name] += ticks <= self._last.get(name, ticks - 1)
                self._last[name] = ticks
        is_pts_better = self._faults["pts"] <= self._faults["dts"]
        return dts if pts is None or (dts is not None and not is_pts_better) else pts


class Timeline:
    """Turns presentation timestamps of one stream into strictly increasing seconds after the first shown frame.

    A missing timestamp, or one that does not move forward, is replaced by the last time plus one frame period.
    A jump beyond max_gap_s (or far back) starts a new timeline, joined one period after the last frame.

    Args:
        time_base: Seconds in one tick.
        fps: Guessed frame rate; None where the headers say nothing believable.
        max_gap_s: The longest a frame may stay on screen.
    """

    def __init__(self, time_base: Fraction, *, fps: Fraction | None, max_gap_s: float):
        self._time_base = time_base
        self._period_s = period_s(fps)
        self._max_gap_s = max_gap_s
        self._origin_ticks: int | None = None
        self._shift_s = 0.0
        self._last_s: float | None = None
        self._clock = _FaultCounter()

    def place(self, pts: int | None, dts: int | None = None) -> float:
        """The time of the next frame, in the order in which the decoder gives them.

        Args:
            pts: Its presentation time in ticks.
            dts: The decoding time of the packet that brought it out, in ticks.
        Returns:
            Seconds after the first shown frame, which is at 0.
        """
        pts = self._clock.choose(pts, dts)
        if self._last_s is None:
            self._origin_ticks, self._last_s = pts, 0.0
            return 0.0
        expected_s = self._last_s + self._period_s
        self._last_s = expected_s if pts is None else self._believe(pts, expected_s, self._last_s)
        return self._last_s

    def end_s(self, duration_ticks: int | None) -> float:
        """Returns when the last placed frame leaves the screen, in seconds.

        Args:
            duration_ticks: What the frame says of itself; one period where that is missing or absurd.
        """
        shown_s = shown_for_s(duration_ticks, self._time_base, self._period_s, self._max_gap_s)
        return (self._last_s or 0.0) + shown_s

    def _believe(self, pts: int, expected_s: float, last_s: float) -> float:
        if self._origin_ticks is None:  # the first frames had no timestamp: join here
            self._origin_ticks, self._shift_s = pts, expected_s
        time_s = ticks_to_s(pts - self._origin_ticks, self._time_base) + self._shift_s
        step_s = time_s - last_s
        if 0 < step_s <= self._max_gap_s:
            return time_s
        if step_s < -BACKWARD_JUMP_S or step_s > self._max_gap_s:
            self._shift_s += expected_s - time_s
        return expected_s
