"""A planned pass shows the same frames as a pass from start to end, to the bit."""

import csv
import io
from collections.abc import Mapping

import numpy as np
import pytest

from pipeline.decode import reader
from pipeline.decode.limits import DecodeLimits
from pipeline.decode.opening import open_video
from pipeline.decode.plan import PlanError
from pipeline.decode.planned import can_plan, planned_frames
from pipeline.decode.records import Clip
from pipeline.decode.sampling import SamplingConfig
from pipeline.errors import DecodeError
from tests.support.shared import shared_videos
from tests.support.videos import encode_video

LIMITS = DecodeLimits()
SPARSE = [
    SamplingConfig(frames_per_clip=4, sample_fps=8.0, stride_s=2.5, size_px=32),
    SamplingConfig(frames_per_clip=16, sample_fps=10.0, stride_s=1.6, size_px=32),
    SamplingConfig(frames_per_clip=1, sample_fps=1.0, stride_s=3.0, size_px=32),
]
Outcome = tuple[list[Clip], str | None]


def outcome(data: bytes, config: SamplingConfig) -> Outcome:
    """The clips that came, and the class of the error that ended them."""
    clips: list[Clip] = []
    try:
        clips.extend(reader.read_clips(io.BytesIO(data), config, LIMITS))
    except DecodeError as e:
        return clips, e.error_class
    return clips, None


def in_sequence(data: bytes, config: SamplingConfig) -> Outcome:
    """The same without any plan."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "can_plan", lambda stream, config: False)
        return outcome(data, config)


def num_decoded(data: bytes, config: SamplingConfig) -> int:
    """Frames that are decoded by a plan; PlanError where it cannot be kept."""
    with open_video(io.BytesIO(data), LIMITS) as (container, stream):
        assert can_plan(stream, config)
        return sum(placed.frame is not None for placed in planned_frames(container, stream, config, LIMITS))


def assert_same(one: Outcome, other: Outcome) -> None:
    assert one[1] == other[1]
    assert len(one[0]) == len(other[0])
    for ours, theirs in zip(one[0], other[0], strict=True):
        assert (ours.clip_index, ours.start_s, ours.end_s) == (theirs.clip_index, theirs.start_s, theirs.end_s)
        assert ours.num_frames == theirs.num_frames
        np.testing.assert_array_equal(ours.pts_s, theirs.pts_s)
        np.testing.assert_array_equal(ours.frames, theirs.frames)


@pytest.mark.parametrize(
    ("codec", "container", "options"),
    [
        ("libx264", "mp4", {"preset": "fast", "bf": "3"}),
        ("libx264", "mp4", {"preset": "fast", "bf": "7", "b-pyramid": "normal", "b-adapt": "2"}),
        ("libx264", "mp4", {"preset": "fast", "x264-params": "open-gop=1:bframes=3"}),
        ("libx264", "mp4", {"preset": "fast", "x264-params": "interlaced=1:bframes=3"}),
        ("libx264", "mp4", {"preset": "fast", "intra-refresh": "1"}),
        ("libx264", "mov", {"preset": "fast", "movflags": "frag_keyframe+empty_moov"}),
        ("libx264", "matroska", {"preset": "fast", "bf": "2"}),
        ("libx264", "mpegts", {"preset": "fast", "bf": "2"}),
        ("libx264", "flv", {"preset": "fast", "bf": "2"}),
        ("libx265", "mp4", {"preset": "ultrafast", "x265-params": "log-level=none:bframes=3"}),
        ("libx265", "mp4", {"preset": "ultrafast", "x265-params": "log-level=none:bframes=3:open-gop=0"}),
        ("libx265", "mp4", {"preset": "ultrafast", "x265-params": "log-level=none:bframes=3:temporal-layers=2"}),
        ("mjpeg", "mov", {}),
        ("prores_ks", "mov", {}),
    ],
)
@pytest.mark.parametrize("config", SPARSE)
def test_a_plan_shows_what_a_whole_pass_shows(
    codec: str, container: str, options: Mapping[str, str], config: SamplingConfig
) -> None:
    pix_fmt = {"mjpeg": "yuvj420p", "prores_ks": "yuv422p10le"}.get(codec, "yuv420p")
    b_frames = 3 if codec == "libx264" else 0
    data = encode_video(
        200, codec=codec, container=container, fps=25, gop=40, pix_fmt=pix_fmt, b_frames=b_frames, options=options
    )
    assert_same(outcome(data, config), in_sequence(data, config))
    if config.stride_s > 2 and "open-gop=1" not in str(options):  # H.264 can only start anew where a GOP is closed
        assert num_decoded(data, config) < 160, "of 200"


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_a_plan_holds_at_a_varying_frame_rate(container: str) -> None:
    random = np.random.default_rng(3)
    times_ms = np.cumsum(random.choice([10, 40, 41, 160, 900], size=160)).tolist()
    data = encode_video(160, container=container, b_frames=2, gop=25, times_ms=times_ms)
    for config in SPARSE:
        assert_same(outcome(data, config), in_sequence(data, config))


class Counted(io.BytesIO):
    """A file that counts the bytes read of it."""

    num_read = 0

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        self.num_read += len(piece)
        return piece


def test_far_clips_are_reached_by_seeking() -> None:
    data = encode_video(1500, fps=25, gop=25, b_frames=2, width=96, height=96)
    rare = SamplingConfig(frames_per_clip=4, sample_fps=25.0, stride_s=10.0, size_px=32)
    clips, error = outcome(data, rare)
    assert_same((clips, error), in_sequence(data, rare))
    assert [clip.start_s for clip in clips] == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]
    with open_video(io.BytesIO(data), LIMITS) as (container, stream):
        placed = list(planned_frames(container, stream, rare, LIMITS))
    assert len(placed) < 200, "of 1500 frames"


def test_what_lies_between_far_clips_is_not_read() -> None:
    source = Counted(
        encode_video(1500, codec="mjpeg", container="mov", pix_fmt="yuvj420p", fps=25, width=320, height=240)
    )
    rare = SamplingConfig(frames_per_clip=4, sample_fps=25.0, stride_s=20.0, size_px=32)
    assert len(list(reader.read_clips(source, rare, LIMITS))) == 3
    assert source.num_read < len(source.getvalue()) / 2


def test_a_plan_that_fails_late_repeats_no_clip() -> None:
    data = bytearray(encode_video(400, fps=25, gop=50, b_frames=2, width=96, height=96))
    place = len(data) * 3 // 4
    data[place : place + 600] = bytes(600)
    for config in SPARSE:
        planned = reader._clips(io.BytesIO(bytes(data)), config, LIMITS, may_plan=True)
        assert next(planned).clip_index == 0
        with pytest.raises(PlanError, match="damaged"):
            list(planned)
        assert_same(outcome(bytes(data), config), in_sequence(bytes(data), config))


def test_a_frame_that_was_passed_over_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan that is wrong costs time, not a frame."""
    data, config = encode_video(200, fps=25, gop=40, b_frames=2), SPARSE[0]
    expected = in_sequence(data, config)
    monkeypatch.setattr("pipeline.decode.plan.next_wanted_s", lambda config, from_s: from_s + 0.7)
    with pytest.raises(PlanError, match="passed over"):
        list(reader._clips(io.BytesIO(data), config, LIMITS, may_plan=True))
    assert_same(outcome(data, config), expected)


def test_avi_is_not_planned() -> None:
    data = encode_video(60, container="avi", fps=25, b_frames=2)
    with open_video(io.BytesIO(data), LIMITS) as (_, stream):
        assert not can_plan(stream, SPARSE[0])


@pytest.mark.shared_videos
@pytest.mark.parametrize("folder", ["codecs", "broken"])
def test_every_real_file_gives_the_same_with_and_without_a_plan(folder: str) -> None:
    with (shared_videos() / folder / "index.csv").open() as lines:
        names = [row["file"] for row in csv.DictReader(lines)]
    num_kept = 0
    for name in names:
        data = (shared_videos() / folder / name).read_bytes()
        assert_same(outcome(data, SPARSE[2]), in_sequence(data, SPARSE[2]))
        try:
            with open_video(io.BytesIO(data), LIMITS) as (container, stream):
                if can_plan(stream, SPARSE[2]):
                    num_kept += bool(list(planned_frames(container, stream, SPARSE[2], LIMITS)))
        except (PlanError, DecodeError):
            continue
    assert num_kept >= {"codecs": 20, "broken": 1}[folder]
