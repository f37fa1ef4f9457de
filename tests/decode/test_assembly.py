"""Clips out of shown pictures, checked against the definition, one wanted time after the other."""

from functools import partial

import numpy as np
import pytest

from pipeline.decode.assembly import ClipAssembler
from pipeline.decode.records import Clip
from pipeline.decode.sampling import TIME_TOLERANCE_S, SamplingConfig, clip_timestamps, num_clips


def assemble(config: SamplingConfig, times_s: list[float], end_s: float) -> tuple[list[Clip], list[int]]:
    """Clips whose pixels spell the index of the shown picture, and the indices that were asked for."""
    assembler, clips, asked = ClipAssembler(config), [], []

    def draw(index: int, pixels: np.ndarray) -> None:
        asked.append(index)
        pixels[:] = (*divmod(index, 256), 0)

    for index, time_s in enumerate(times_s[:-1]):
        clips += assembler.show(partial(draw, index), time_s, times_s[index + 1])
    last = len(times_s) - 1
    clips += assembler.finish(partial(draw, last), times_s[last], end_s)
    return clips, asked


@pytest.mark.parametrize("seed", range(20))
def test_clips_follow_the_definition_on_random_timings(seed: int) -> None:
    random = np.random.default_rng(seed)
    config = SamplingConfig(
        frames_per_clip=int(random.integers(1, 9)),
        sample_fps=float(random.choice([3, 7.5, 16, 30])),
        stride_s=float(random.choice([0.1, 0.3, 1.0, 2.5])),
    )
    times_s = [0.0, *np.cumsum(random.choice([0.01, 0.04, 0.1, 1.7], size=random.integers(0, 60))).tolist()]
    end_s = times_s[-1] + 0.04
    clips, _ = assemble(config, times_s, end_s)

    assert [clip.clip_index for clip in clips] == list(range(num_clips(config, end_s)))
    for clip in clips:
        wanted_s = clip_timestamps(config, clip.clip_index)
        shown = np.searchsorted(np.array(times_s) - TIME_TOLERANCE_S, wanted_s, side="right") - 1
        assert (clip.frames[:, 0, 0, 0].astype(int) * 256 + clip.frames[:, 0, 0, 1]).tolist() == shown.tolist()
        assert clip.pts_s.tolist() == [times_s[i] for i in shown]
        assert clip.num_frames == len(set(shown.tolist()))
        assert clip.start_s == wanted_s[0]
        assert clip.end_s == min(wanted_s[0] + config.clip_duration_s, end_s)


@pytest.mark.parametrize("rate", [23.976, 24, 25, 29.97, 30, 50, 59.94, 60])
def test_sampling_at_the_frame_rate_shows_every_frame_once(rate: float) -> None:
    config = SamplingConfig(frames_per_clip=200, sample_fps=rate, stride_s=200 / rate)
    milliseconds = [round(1000 * i / rate) / 1000 for i in range(1000)]  # as Matroska and FLV store them
    for times_s in ([i / rate for i in range(1000)], milliseconds):
        clips, _ = assemble(config, times_s, 1000 / rate)
        assert [clip.num_frames for clip in clips] == [200] * 5


def test_pictures_nobody_wants_are_never_made() -> None:
    config = SamplingConfig(frames_per_clip=2, sample_fps=10, stride_s=1.0)
    _, asked = assemble(config, [i / 100 for i in range(150)], 1.5)
    assert sorted(set(asked)) == [0, 10, 100, 110]
