"""Plans as tables: timestamps in, steps out."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from pipeline.decode import plan as planning
from pipeline.decode.plan import Clock, Coded, Decode, Pass, PlanError, Restart, Seek, is_worth_it, plan
from pipeline.decode.sampling import SamplingConfig, clip_timestamps, is_before, next_wanted_s, num_clips

ONE_IN_TEN = SamplingConfig(frames_per_clip=1, sample_fps=1.0, stride_s=1.0, size_px=16)  # of ten frames a second
PAIRS = SamplingConfig(frames_per_clip=2, sample_fps=10.0, stride_s=1.0, size_px=16)


def never(after_dts: float, until_dts: int) -> None:
    """A container without an index."""


def packets(order: Iterable[int], keys: Iterable[int] = (), *, num_bytes: int = 1) -> list[Coded]:
    """Packets with these pts, in decoding order, ten a second; dts as low as they must be."""
    pts = list(order)
    late = max(position - number for position, number in enumerate(pts))
    return [Coded(number, place - late, 1, num_bytes, number in set(keys)) for place, number in enumerate(pts)]


def clock() -> Clock:
    return Clock(Fraction(1, 10), period_s=0.1, max_gap_s=600.0)


def words(coded: Iterable[Coded], config: SamplingConfig = ONE_IN_TEN, *, max_reorder: int = 16) -> str:
    """d7: decode; s7: skip unless something leans on it; p7: pass over; R: restart."""
    steps = plan(iter(coded), config, clock(), never, max_reorder=max_reorder)
    return " ".join(_word(step) for step in steps)


def _word(step: object) -> str:
    match step:
        case Decode(coded, is_wanted):
            return f"{'d' if is_wanted else 's'}{coded.pts}"
        case Pass(coded):
            return f"p{coded.pts}"
        case Seek(ticks):
            return f"S{ticks}"
    return "R"


@pytest.mark.parametrize(
    ("coded", "config", "expected"),
    [
        (packets(range(4)), ONE_IN_TEN, "d0 p1 p2 p3"),
        (packets(range(12)), ONE_IN_TEN, "d0 s1 s2 s3 s4 s5 s6 s7 s8 s9 d10 p11"),
        (packets(range(12), [0, 8]), ONE_IN_TEN, "d0 p1 p2 p3 p4 p5 p6 p7 R s8 s9 d10 p11"),
        (packets(range(12), range(12)), ONE_IN_TEN, "d0 p1 p2 p3 p4 p5 p6 p7 p8 p9 R d10 p11"),
        (
            packets([0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11]),
            ONE_IN_TEN,
            "d0 s4 s2 s1 s3 s8 s6 s5 s7 d12 d10 p9 p11",
        ),  # 12 might be held to the end
        (packets([0, 2, 1, 10, 8, 9, 12, 11], [10]), ONE_IN_TEN, "d0 p2 p1 R d10 p12 p11"),  # 8, 9 lean on 2
        (packets([0, 2, 1, 11, 9, 10, 12], [11]), ONE_IN_TEN, "d0 s2 s1 s11 s9 d10 p12"),  # 10 is shown before 11
        (packets([*range(5), *range(25, 31)]), ONE_IN_TEN, "d0 s1 s2 s3 d4 s25 s26 s27 s28 s29 d30"),
        (packets(range(12)), PAIRS, "d0 d1 s2 s3 s4 s5 s6 s7 s8 s9 d10 d11"),
        (
            [Coded(0, None, 1, 1, True), Coded(2, None, 1, 1, False), *packets(range(3, 7))],
            ONE_IN_TEN,
            "d0 p2 p3 p4 p5 p6",
        ),
        (packets(range(11)), PAIRS, "d0 d1 s2 s3 s4 s5 s6 s7 s8 s9 d10"),
    ],
)
def test_the_steps_of_a_plan(coded: list[Coded], config: SamplingConfig, expected: str) -> None:
    assert words(coded, config) == expected


def test_a_seek_goes_where_the_index_points_and_passes_over_what_was_read() -> None:
    stored = packets(range(40), range(0, 40, 5))
    place = 0

    def read() -> Iterator[Coded]:
        nonlocal place
        while place < len(stored):
            place += 1
            yield stored[place - 1]

    def find_key(after_dts: float, until_dts: int) -> int | None:
        key = min(until_dts - until_dts % 5, 35)
        return key if key - after_dts >= 5 else None

    told = []
    for step in plan(read(), ONE_IN_TEN, clock(), find_key, max_reorder=0):
        told.append(_word(step))
        if isinstance(step, Seek):
            place = step.ticks
    assert " ".join(told) == "d0 p1 S10 d10 p11 S20 d20 p21 S30 d30 p31 p32 p33 p34 R p35 p36 p37 p38 p39"


@pytest.mark.parametrize(
    ("coded", "reason"),
    [
        ([Coded(0, 0, 1, 1, True), Coded(1, 0, 1, 1, False)], "out of order"),
        ([Coded(0, 0, 1, 1, True), Coded(0, 1, 1, 1, False)], "out of order"),
        ([Coded(0, 0, 1, 1, True), Coded(3, 1, 1, 1, False), Coded(3, 2, 1, 1, False)], "out of order"),
        ([Coded(0, 0, 1, 1, True), Coded(1, None, 1, 1, False)], "out of order"),
        (packets([0, 4, 2, 1, 3]), "reordered"),
    ],
)
def test_timestamps_that_prove_nothing_end_the_plan(coded: list[Coded], reason: str) -> None:
    with pytest.raises(PlanError, match=reason):
        words(coded, max_reorder=1)


def test_packets_are_not_held_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "MAX_HELD_BYTES", 100)
    rarely = SamplingConfig(frames_per_clip=1, sample_fps=1.0, stride_s=100.0, size_px=16)
    held = 0

    def read() -> Iterator[Coded]:
        nonlocal held
        for one in packets(range(900), num_bytes=30):
            held += 1
            yield one

    for step in plan(read(), rarely, clock(), never, max_reorder=0):
        assert not isinstance(step, Restart)
        held -= 1
        assert held <= 5


@pytest.mark.parametrize("seed", range(30))
def test_every_wanted_frame_is_decoded_with_all_it_may_lean_on(seed: int) -> None:
    random = np.random.default_rng(seed)
    config = SamplingConfig(
        frames_per_clip=int(random.integers(1, 6)),
        sample_fps=float(random.choice([1, 3.3, 10])),
        stride_s=float(random.choice([0.7, 2.0, 5.5])),
        size_px=16,
    )
    order: list[int] = []
    while len(order) < 120:
        group = [len(order) + shift for shift in range(int(random.integers(1, 5)))]
        order += [group[-1], *group[:-1]]
    keys = [number for place, number in enumerate(order) if number == place and random.random() < 0.1]
    coded = packets(order, keys)
    steps = list(plan(iter(coded), config, clock(), never, max_reorder=16))
    sent = [step for step in steps if isinstance(step, Decode | Restart)]

    ends_s = (max(order) + 1) / 10
    times_s = [t for k in range(num_clips(config, ends_s)) for t in clip_timestamps(config, k).tolist()]
    wanted = {max(number for number in order if not is_before(t, number / 10)) for t in times_s}
    decoded = {step.coded.pts for step in sent if isinstance(step, Decode) and step.is_wanted}
    assert wanted <= decoded
    assert {one.pts for one in coded} == {step.coded.pts for step in steps if isinstance(step, Decode | Pass)}
    for before, step in pairwise(sent):  # nothing in between is missing but after a restart
        if isinstance(before, Decode) and isinstance(step, Decode):
            assert coded.index(step.coded) == coded.index(before.coded) + 1
        elif isinstance(step, Decode):
            assert step.coded.is_restart


def test_the_next_wanted_time_is_the_first_of_all_clips() -> None:
    random = np.random.default_rng(0)
    for _ in range(300):
        config = SamplingConfig(
            frames_per_clip=int(random.integers(1, 20)),
            sample_fps=float(random.choice([0.3, 7.5, 16, 29.97])),
            stride_s=float(random.choice([0.04, 0.3, 1.0, 12.5])),
        )
        from_s = float(random.uniform(0, 30))
        all_s = np.concatenate([clip_timestamps(config, k) for k in range(int(40 / config.stride_s) + 2)])
        assert next_wanted_s(config, from_s) == min(t for t in all_s.tolist() if not is_before(t, from_s))


@pytest.mark.parametrize(
    ("frames_per_clip", "sample_fps", "stride_s", "expected"),
    [
        (16, 16.0, 1.0, False),
        (16, 16.0, 2.0, True),
        (16, 8.0, 1.0, True),  # two clips at a time, that want the same frames
        (16, 8.0, 0.99, False),  # that want others
        (16, 25.0, 0.64, False),
        (16, 25.0, 2.0, True),
        (16, 24.0, 0.2, False),
        (256, 0.01, 100.0, False),  # 256 clips at a time
    ],
)
def test_a_plan_pays_where_frames_are_left_over(
    frames_per_clip: int, sample_fps: float, stride_s: float, expected: bool
) -> None:
    assert is_worth_it(SamplingConfig(frames_per_clip, sample_fps, stride_s), 25.0) is expected
