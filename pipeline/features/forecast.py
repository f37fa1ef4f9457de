"""From a few measured videos to what an extraction takes: pure arithmetic.

clips of the corpus  |a a|b|c c c c c c|d|e e e|f f|...     cut into equal parts, with a point at random in each; it
parts                |       |       |       |              picks the video it falls into, so long videos are picked
points                  ^         ^     ^                   more often, and each point counts the same:
                        b         c     c                   total = clips of the corpus * mean (cost a clip)
"""

import math
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import fmean, stdev
from typing import Literal

from pipeline.features.encoder import TaskResult

Stage = Literal["store", "decode", "encode"]  # reading, decoding, the network
_STAGES: tuple[Stage, ...] = ("store", "decode", "encode")
_BYTES_A_NUMBER, _BYTES_A_ROW = 3.0, 95.0  # of `features`, compressed: 863 B a row of 256 numbers
_SIGMAS_OF_95 = 1.96
_HOUR_S = 3600.0


@dataclass(frozen=True)
class Measured:
    """One video of the sample.

    Args:
        num_points: Points of the sample that fell into it.
        expected_clips: Clips it has if its header is right, no more than were to be measured.
        result: What its worker says; None where no worker survived it.
    """

    num_points: int
    expected_clips: int
    result: TaskResult | None


@dataclass(frozen=True)
class Fleet:
    """The machines of a run.

    Args:
        num_workers: Workers that decode and encode.
        videos_at_once: Videos that all of them work on at a time.
        num_cpus, num_gpus: What is paid for.
        core_hour_price, gpu_hour_price: In one currency.
    """

    num_workers: int
    videos_at_once: int
    num_cpus: float
    num_gpus: float
    core_hour_price: float
    gpu_hour_price: float

    def price(self, hours: float) -> float:
        """Of all machines for some hours."""
        return hours * (self.num_cpus * self.core_hour_price + self.num_gpus * self.gpu_hour_price)


@dataclass(frozen=True)
class Forecast:
    """What a run will take, and how sure that is.

    videos, clips: That are to be decoded, and vectors to be had.
    wall_s, wall_s_within: Seconds from start to end; the second is half of a 95 % interval, of the sampling alone.
    cost: Of the machines for that time.
    bytes_read, bytes_written: From the corpus, and to `features`.
    failed_share: Of the sampled videos.
    shares: Of a worker's time, by stage.
    """

    videos: int
    clips: int
    wall_s: float
    wall_s_within: float
    start_up_s: float
    cost: float
    bytes_read: int
    bytes_written: int
    failed_share: float
    shares: Mapping[Stage, float]
    bottleneck: Stage | None
    num_sampled: int
    num_workers: int


def sample(num_clips: Sequence[int], num_points: int) -> dict[int, int]:
    """Which videos to measure.

    Args:
        num_clips: Of every video, at least 1.
        num_points: How many points are laid over all clips; no more than there are videos.
    Returns:
        How many points fell into each chosen video, by its index, in order.
    """
    num_points = min(num_points, len(num_clips))
    step = sum(num_clips) / max(1, num_points)
    at_random = random.Random(0)  # points at equal distances would only meet every seventh video of a weekly pattern
    points = [(part + at_random.random()) * step for part in range(num_points)]
    ends = list(accumulate(num_clips))
    return dict(Counter(bisect_right(ends, point) for point in points))


def forecast(
    measured: Sequence[Measured], *, num_videos: int, num_clips: int, dim: int, start_up_s: float, fleet: Fleet
) -> Forecast:
    """Scale a sample up to the corpus.

    Args:
        measured: The sample.
        num_videos: To be decoded.
        num_clips: Their clips if all headers are right.
        dim: Numbers of an embedding.
        start_up_s: Until the workers work, and after it.
        fleet: The machines.
    """
    points = [one for one in measured for _ in range(one.num_points)]
    good = [(one.result, one.expected_clips) for one in points if one.result is not None and one.result.num_clips]
    good_share = len(good) / max(1, len(points))
    clips = num_clips * good_share * _mean([result.num_clips / expected for result, expected in good])
    costs = [_Costs(result) for result, _ in good]
    stages_s = {stage: _mean([cost.stages_s[stage] for cost in costs]) for stage in _STAGES}
    clip_s = sum(stages_s.values())
    wall_s = start_up_s + clips * clip_s / fleet.videos_at_once
    return Forecast(
        videos=num_videos,
        clips=round(clips),
        wall_s=wall_s,
        wall_s_within=_within([cost.clip_s for cost in costs]) * clips / fleet.videos_at_once,
        start_up_s=start_up_s,
        cost=fleet.price(wall_s / _HOUR_S),
        bytes_read=round(clips * _mean([cost.bytes_read for cost in costs])),
        bytes_written=round(clips * (_BYTES_A_NUMBER * dim + _BYTES_A_ROW)),
        failed_share=1 - good_share,
        shares={stage: seconds / clip_s for stage, seconds in stages_s.items()} if clip_s else {},
        bottleneck=_largest(stages_s) if clip_s else None,
        num_sampled=len(measured),
        num_workers=fleet.num_workers,
    )


class _Costs:
    """What a clip of one measured video takes."""

    def __init__(self, result: TaskResult):
        num_clips = result.num_clips
        self.stages_s: dict[Stage, float] = {
            "store": result.read_s / num_clips,
            "decode": (result.decode_s - result.read_s) / num_clips,
            "encode": result.encode_s / num_clips,
        }
        self.clip_s = sum(self.stages_s.values())
        self.bytes_read = result.bytes_read / num_clips


def _largest(seconds: Mapping[Stage, float]) -> Stage:
    return max(seconds, key=lambda stage: seconds[stage])


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else 0.0


def _within(values: Sequence[float]) -> float:
    """Half of the 95 % interval of their mean."""
    return _SIGMAS_OF_95 * stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
