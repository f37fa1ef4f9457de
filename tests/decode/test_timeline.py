"""Every frame gets a time, and times only move forward."""

from fractions import Fraction

import pytest

from pipeline.decode.timeline import Timeline

MILLISECOND = Fraction(1, 1000)


def place(ticks: list[int | None], *, fps: int | None = 10, max_gap_s: float = 60.0) -> list[float]:
    timeline = Timeline(MILLISECOND, fps=Fraction(fps) if fps else None, max_gap_s=max_gap_s)
    return [round(timeline.place(pts), 6) for pts in ticks]


@pytest.mark.parametrize(
    ("law", "ticks", "times"),
    [
        ("times count from the first shown frame", [5000, 5100, 5250], [0, 0.1, 0.25]),
        ("a negative start is a start", [-200, -100, 0], [0, 0.1, 0.2]),
        ("an absurd start is a start", [10**15, 10**15 + 100], [0, 0.1]),
        ("without timestamps frames follow at the guessed rate", [None, None, None], [0, 0.1, 0.2]),
        ("late timestamps join where the frames are", [None, None, 7000, 7100], [0, 0.1, 0.2, 0.3]),
        ("one missing timestamp is bridged", [0, None, 200, 300], [0, 0.1, 0.2, 0.3]),
        ("one bad timestamp moves no other", [0, 100, 50, 300], [0, 0.1, 0.2, 0.3]),
        ("a repeated timestamp moves on", [0, 100, 100, 300], [0, 0.1, 0.2, 0.3]),
        ("a new timeline is joined", [90000, 90100, 0, 100], [0, 0.1, 0.2, 0.3]),
        ("a jump beyond the longest still is joined", [0, 100, 90000000, 90000100], [0, 0.1, 0.2, 0.3]),
        ("a long still is believed", [0, 100, 50100], [0, 0.1, 50.1]),
    ],
)
def test_placing(law: str, ticks: list[int | None], times: list[float]) -> None:
    assert place(ticks) == times, law


def test_scrambled_presentation_times_give_way_to_decoding_times_in_order() -> None:
    timeline = Timeline(Fraction(1, 30), fps=Fraction(30), max_gap_s=60.0)
    scrambled = [2, 3, 5, 4, 6, 9, 8, 10, 7, 13, 12, 14, 11]  # H.264 with B-frames in an AVI
    times_s = [timeline.place(pts, dts) for dts, pts in enumerate(scrambled, start=4)]
    assert times_s == pytest.approx([i / 30 for i in [0, 1, 3, *range(5, 15)]])


def test_without_a_rate_frames_follow_at_25_fps() -> None:
    assert place([None, None], fps=None) == [0, 0.04]


@pytest.mark.parametrize(("duration_ticks", "end_s"), [(40, 0.04), (None, 0.1), (0, 0.1), (-5, 0.1), (10**9, 0.1)])
def test_the_last_frame_ends_after_its_own_duration_where_that_is_believable(
    duration_ticks: int | None, end_s: float
) -> None:
    timeline = Timeline(MILLISECOND, fps=Fraction(10), max_gap_s=60.0)
    timeline.place(0)
    assert timeline.end_s(duration_ticks) == pytest.approx(end_s)
