"""From a sample to a corpus: what is picked, and what is made of it."""

from collections import Counter

import pytest

from pipeline.features.encoder import TaskResult
from pipeline.features.forecast import Fleet, Measured, forecast, sample

TWO_CORES = Fleet(num_workers=2, videos_at_once=2, num_cpus=2, num_gpus=0, core_hour_price=0.5, gpu_hour_price=9.0)


def result(*, clips: int, read_s: float = 0.0, decode_s: float = 0.0, encode_s: float = 0.0) -> TaskResult:
    """decode_s without the reads."""
    return TaskResult(
        num_clips=clips, read_s=read_s, decode_s=decode_s + read_s, encode_s=encode_s, bytes_read=1000 * clips
    )


@pytest.mark.parametrize(
    ("num_clips", "num_points", "expected"),
    [
        ([1, 1, 1, 1], 99, {0: 1, 1: 1, 2: 1, 3: 1}),
        ([4, 4], 2, {0: 1, 1: 1}),
        ([1, 1, 1, 97], 4, {3: 4}),
        ([7], 4, {0: 1}),
        ([], 4, {}),
    ],
)
def test_points_lie_evenly_over_all_clips(num_clips: list[int], num_points: int, expected: dict[int, int]) -> None:
    assert sample(num_clips, num_points) == expected


def test_every_video_is_picked_as_often_as_it_has_clips() -> None:
    num_clips = [1 + index % 7 for index in range(700)]
    picked = sample(num_clips, 400)
    points: Counter[int] = Counter()
    for index, times in picked.items():
        points[num_clips[index]] += times
    assert sum(points.values()) == 400
    for size, times in points.items():
        assert times == pytest.approx(400 * size / 28, rel=0.25)


def test_a_corpus_of_equal_clips_is_forecast_exactly() -> None:
    sampled = [Measured(1, 4, result(clips=4, read_s=0.4, decode_s=1.6, encode_s=0.4)) for _ in range(3)]
    found = forecast(sampled, num_videos=100, num_clips=400, dim=64, start_up_s=10.0, fleet=TWO_CORES)
    assert found.wall_s == pytest.approx(10 + 400 * 0.6 / 2)
    assert found.wall_s_within == pytest.approx(0.0, abs=1e-9)
    assert (found.clips, found.bytes_read, found.failed_share) == (400, 400_000, 0.0)
    assert found.cost == pytest.approx(found.wall_s / 3600 * 2 * 0.5)
    assert found.bottleneck == "decode"
    assert found.shares == pytest.approx({"store": 1 / 6, "decode": 4 / 6, "encode": 1 / 6})


def test_a_video_counts_once_for_each_of_its_points() -> None:
    cheap, dear = Measured(3, 2, result(clips=2, decode_s=2)), Measured(1, 2, result(clips=2, decode_s=10))
    found = forecast([cheap, dear], num_videos=4, num_clips=8, dim=64, start_up_s=0.0, fleet=TWO_CORES)
    assert found.wall_s == pytest.approx(8 * (3 * 1 + 5) / 4 / 2)
    assert found.wall_s_within > 0


def test_headers_that_promise_too_much_are_corrected() -> None:
    sampled = [Measured(1, 10, result(clips=5, encode_s=5))]
    assert forecast(sampled, num_videos=2, num_clips=20, dim=64, start_up_s=0.0, fleet=TWO_CORES).clips == 10


@pytest.mark.parametrize("broken", [None, TaskResult(num_videos=1, failures=[{"error_class": "corrupt"}])])
def test_broken_videos_have_no_clips(broken: TaskResult | None) -> None:
    sampled = [Measured(1, 2, broken), Measured(1, 2, result(clips=2, decode_s=2))]
    found = forecast(sampled, num_videos=10, num_clips=20, dim=64, start_up_s=0.0, fleet=TWO_CORES)
    assert (found.failed_share, found.clips) == (0.5, 10)
    nothing = forecast(sampled[:1], num_videos=10, num_clips=20, dim=64, start_up_s=3.0, fleet=TWO_CORES)
    assert (nothing.failed_share, nothing.clips, nothing.bottleneck, nothing.wall_s) == (1.0, 0, None, 3.0)


def test_gpus_cost_too() -> None:
    fleet = Fleet(num_workers=4, videos_at_once=32, num_cpus=32, num_gpus=4, core_hour_price=0.1, gpu_hour_price=2.0)
    assert fleet.price(10.0) == pytest.approx(10 * (3.2 + 8.0))
