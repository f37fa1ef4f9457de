"""Golden lists: a change here means other frames are shown, so SAMPLING_VERSION must rise with it."""

import dataclasses

import numpy as np
import pytest

from pipeline.decode.sampling import SamplingConfig, clip_timestamps, num_clips
from pipeline.errors import ConfigError

SMALL = SamplingConfig(frames_per_clip=4, sample_fps=8.0, stride_s=0.5, size_px=16)


def test_default_digest_is_pinned() -> None:
    assert SamplingConfig().digest() == "64396a0b0b397518"


def test_an_integer_and_the_same_float_have_one_digest() -> None:
    assert SamplingConfig(sample_fps=16).digest() == SamplingConfig(sample_fps=16.0).digest()


def test_every_field_changes_the_digest() -> None:
    other = {"frames_per_clip": 8, "sample_fps": 12.5, "stride_s": 0.25, "size_px": 32, "skip_loop_filter": True}
    digests = {dataclasses.replace(SamplingConfig(), **{name: value}).digest() for name, value in other.items()}
    assert set(other) == {field.name for field in dataclasses.fields(SamplingConfig)}
    assert len(digests | {SamplingConfig().digest()}) == len(other) + 1


@pytest.mark.parametrize(
    ("clip_index", "golden"),
    [(0, [0.0, 0.125, 0.25, 0.375]), (1, [0.5, 0.625, 0.75, 0.875]), (7, [3.5, 3.625, 3.75, 3.875])],
)
def test_timestamps_are_pinned(clip_index: int, golden: list[float]) -> None:
    timestamps = clip_timestamps(SMALL, clip_index)
    assert timestamps.dtype == np.float64
    assert timestamps.tolist() == golden


@pytest.mark.parametrize(
    ("config", "duration_s", "golden"),
    [
        (SamplingConfig(), 0.04, 1),  # one frame is one clip
        (SamplingConfig(), 1.0, 1),
        (SamplingConfig(), 1.4375, 1),  # the eighth time of clip 1 is 1.4375: not before the end
        (SamplingConfig(), 1.44, 2),
        (SamplingConfig(), 10.0, 10),
        (SMALL, 0.125, 1),
        (SMALL, 0.625, 1),  # clip 1 shows half its times from 0.625 on
        (SMALL, 0.64, 2),
        (SMALL, 3600.0, 7200),
        (SamplingConfig(frames_per_clip=1, sample_fps=25.0, stride_s=0.04), 1.0, 25),  # no flip by rounding
        (SamplingConfig(frames_per_clip=1, sample_fps=30.0, stride_s=1 / 30), 100.0, 3000),
        (SamplingConfig(frames_per_clip=3, sample_fps=10.0, stride_s=0.1), 1.0, 9),
    ],
)
def test_number_of_clips_is_pinned(config: SamplingConfig, duration_s: float, golden: int) -> None:
    assert num_clips(config, duration_s) == golden


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("frames_per_clip", 0),
        ("frames_per_clip", 257),
        ("frames_per_clip", 16.0),
        ("frames_per_clip", True),
        ("sample_fps", 0),
        ("sample_fps", 240.5),
        ("sample_fps", float("nan")),
        ("stride_s", 0.0),
        ("stride_s", -1.0),
        ("stride_s", float("inf")),
        ("size_px", 14),
        ("size_px", 65),
        ("size_px", 514),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ConfigError) as caught:
        dataclasses.replace(SamplingConfig(), **{field: value})
    assert caught.value.where == field
    assert caught.value.got is value
    assert caught.value.expected
