"""Pictures for a page: the right frame, a reason where there is none, and never a page that waits."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.decode.moment import Moment, sampling_at
from pipeline.decode.sandbox import Sandbox
from pipeline.progress import unwatched
from pipeline.report.page.frames import NO_TIME, fitted, frames
from tests.support.videos import encode_video, read_number

FPS, NUM_FRAMES = 16, 64


@pytest.fixture
def video(tmp_path: Path) -> str:
    path = tmp_path / "video.mp4"
    path.write_bytes(encode_video(NUM_FRAMES, fps=FPS))
    return f"file://{path}"


@pytest.mark.parametrize(("time_s", "number"), [(0.0, 0), (0.001, 0), (0.5, 8), (1.99, 31), (3.0, 48)])
def test_the_picture_is_the_frame_shown_at_that_time(video: str, time_s: float, number: int) -> None:
    config, place = sampling_at(time_s, size_px=160)
    with Sandbox() as sandbox, open(video.removeprefix("file://"), "rb") as source:
        clips = list(sandbox.read_clips(source, config))
    assert len(clips) == 1
    assert read_number(clips[0].frames[place]) == number


def test_a_video_that_cannot_be_read_has_a_reason_and_the_others_a_picture(video: str, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video at all" * 100)
    wanted = [Moment(f"file://{tmp_path}/{name}", 1.0) for name in ("gone.mp4", "broken.mp4", "video.mp4")]
    found = frames(wanted, {video: (64, 48)}, limit_s=60, on_progress=unwatched)
    assert [bool(found[moment].webp) for moment in wanted] == [False, False, True]
    assert [found[moment].reason for moment in wanted] == ["it is not there any more", "open failed", ""]


def test_a_source_that_never_answers_holds_up_no_page(video: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "silent.mp4")  # to open it waits for a writer, for ever
    silent, other = Moment(f"file://{tmp_path}/silent.mp4", 0.0), Moment(video, 0.0)
    started_s = time.monotonic()
    found = frames([silent, other], {}, limit_s=8, on_progress=unwatched)
    assert time.monotonic() - started_s < 30
    assert (found[silent].webp, found[silent].reason) == (None, NO_TIME)
    assert found[other].webp


@pytest.mark.parametrize(
    ("size", "expected"),
    [((320, 240), (160, 120)), ((1080, 1920), (90, 160)), (None, (160, 160)), ((4000, 10), (160, 40))],
)
def test_pictures_keep_the_proportions_of_the_video(size: tuple[int, int] | None, expected: tuple[int, int]) -> None:
    assert fitted(size) == expected
    assert np.prod(fitted(size)) <= 160 * 160
