"""The comparison of decoders: its plan, its arithmetic, its corpus, and an eye that sees a wrong frame."""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from benchmarks.decode import ours
from benchmarks.decode.contenders import start_workers
from benchmarks.decode.corpus import PERIODIC, UNIFORM, Recipe, encoded_corpus, recipes, spread, there_and_back
from benchmarks.decode.planning import dense_sampling, every_frame, frame_times, sampled, shown
from benchmarks.decode.proof import missed, summary
from benchmarks.decode.reference import Deviation, deviation, reference_frames
from benchmarks.decode.rounds import against_peers, middle, ratio, turns
from benchmarks.decode.wanted import SIZE_PX, Video, Workload, workload_from
from benchmarks.decode.worker import cpu_seconds
from pipeline.decode.sampling import SamplingConfig
from pipeline.errors import SoraError
from tests.support.videos import encode_video, read_number

GAPS_MS = [0, 40, 80, 160, 200, 320, 360, 400]  # 25 fps, with three frames missing


@pytest.fixture
def gapped(tmp_path: Path) -> str:
    """A video whose frames spell 0 to 7, at GAPS_MS."""
    path = tmp_path / "gapped.mp4"
    path.write_bytes(encode_video(len(GAPS_MS), times_ms=GAPS_MS, b_frames=2))
    return str(path)


def _seconds(times_ms: Sequence[int]) -> list[Fraction]:
    return [Fraction(time_ms, 1000) for time_ms in times_ms]


def test_rounds_are_interleaved() -> None:
    assert turns(["a", "b", "c"], 2) == [(0, "a"), (0, "b"), (0, "c"), (1, "a"), (1, "b"), (1, "c")]


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    ours_, theirs = [10.0, 20.0, 90.0], [10.0, 10.0, 30.0]  # 1, 2, 3; the ratio of the medians is 2 too, of means 2.4
    assert ratio(ours_, theirs) == 2.0
    assert ratio([10.0, 20.0, 90.0], [10.0, 80.0, 30.0]) == 1.0, "the ratio of the medians is 0.67"


def test_a_rate_is_written_with_its_span() -> None:
    assert middle([3.0, 1.0, 10.004]) == [3.0, [1.0, 10.0]]


def test_the_best_peer_is_the_one_that_ours_is_least_ahead_of() -> None:
    rates = {"sora": [20.0, 20.0], "slow": [5.0, 5.0], "fast": [16.0, 16.0], "blind": [0.0, 0.0]}
    peers = ["slow", "fast", "blind", "absent"]
    assert against_peers(rates, "sora", peers) == {"vs_best_peer": 1.25, "best_peer": "fast"}
    assert against_peers({"sora": [1.0]}, "sora", peers) == {"vs_best_peer": None, "best_peer": None}


@pytest.mark.parametrize(
    ("times_ms", "frames_per_clip", "sample_fps", "stride_s"),
    [
        ([0, 40, 80, 120], 4, 25.0, 0.16),
        (GAPS_MS, 11, 25.0, 0.44),
        (list(range(0, 5000, 20)), 50, 50.0, 1.0),  # 250 frames in five clips
    ],
)
def test_dense_sampling_is_whole_clips_of_the_finest_step(
    times_ms: list[int], frames_per_clip: int, sample_fps: float, stride_s: float
) -> None:
    expected = {"frames_per_clip": frames_per_clip, "sample_fps": sample_fps, "stride_s": stride_s}
    assert dense_sampling(_seconds(times_ms)) == expected


@pytest.mark.parametrize("times_ms", [GAPS_MS, list(range(0, 5000, 20)), list(range(0, 3700, 100))])
def test_dense_sampling_shows_every_frame(times_ms: list[int]) -> None:
    config = SamplingConfig(size_px=SIZE_PX, **dense_sampling(_seconds(times_ms)))
    indices = [index for clip in shown([time_ms / 1000 for time_ms in times_ms], config) for index in clip]
    assert sorted(set(indices)) == list(range(len(times_ms)))


@pytest.mark.parametrize(("sampling", "num_clips", "first"), [(UNIFORM, 60, [0, 15, 31]), (PERIODIC, 60, [0, 1, 3])])
def test_sixteen_frames_of_every_ten_seconds_are_wanted(
    sampling: dict[str, Any], num_clips: int, first: list[int]
) -> None:
    pts_s = [index / 25 for index in range(15_000)]
    clips = shown(pts_s, SamplingConfig(size_px=SIZE_PX, **sampling))
    assert [len(clip) for clip in clips] == [16] * num_clips
    assert clips[0][:3] == first
    assert clips[-1][0] == 59 * 250
    assert all(len(set(clip)) == 16 for clip in clips)


def test_our_reader_delivers_every_frame_once_over_gaps(gapped: str) -> None:
    workload = Workload("dense", True, [every_frame(gapped, frame_times(gapped))])
    assert frame_times(gapped) == _seconds(GAPS_MS)
    assert [read_number(frame) for frames in ours.sora(workload) for frame in frames] == list(range(8))
    assert [len(frames) for frames in ours.decode_only(workload)] == [8]
    assert workload_from(asdict(workload)) == workload


def test_our_reader_delivers_the_frames_that_the_plan_says(gapped: str) -> None:
    video = sampled(gapped, frame_times(gapped), frames_per_clip=2, sample_fps=8.0, stride_s=0.2)
    frames = ours.sora(Workload("sparse", False, [video]))
    assert [[read_number(frame) for frame in clip] for clip in frames] == video.clips == [[0, 2], [4, 5], [7, 7]]


def _delivered(video: Video, step: int = 0) -> np.ndarray:
    """The reference frames of other times."""
    frames = reference_frames(video)
    return np.stack([frames[min(index + step, video.num_frames - 1)] for index in video.indices])


def test_right_frames_are_right_whatever_scaler_made_them(gapped: str) -> None:
    video = every_frame(gapped, frame_times(gapped))
    references = [reference_frames(video)]
    assert deviation(_delivered(video), [video], references) == Deviation(0.0, 0, 0)
    noise = np.random.default_rng(0).integers(-6, 7, (8, SIZE_PX, SIZE_PX, 3))
    noisy = np.clip(_delivered(video).astype(int) + noise, 0, 255).astype(np.uint8)
    found = deviation(noisy, [video], references)
    assert (found.wrong_frames, found.missing_frames) == (0, 0)
    assert 2 < found.mean_abs < 4


@pytest.mark.parametrize(("step", "wrong"), [(1, 7), (-1, 7), (2, 7)])
def test_a_frame_of_another_time_is_wrong(gapped: str, step: int, wrong: int) -> None:
    video = every_frame(gapped, frame_times(gapped))
    frames = reference_frames(video)
    shifted = np.stack([frames[min(max(index + step, 0), 7)] for index in video.indices])
    assert deviation(shifted, [video], [frames]).wrong_frames == wrong


def test_missing_frames_are_counted(gapped: str) -> None:
    video = every_frame(gapped, frame_times(gapped))
    assert deviation(_delivered(video)[:-3], [video], [reference_frames(video)]).missing_frames == 3


def test_footage_runs_there_and_back() -> None:
    assert [there_and_back(position, 3) for position in range(9)] == [0, 1, 2, 1, 0, 1, 2, 1, 0]


def test_clips_are_spread_evenly() -> None:
    assert spread([str(number) for number in range(928)], 120)[:3] == ["0", "7", "14"]
    assert len(spread(["a"] * 928, 120)) == 120


def test_the_corpus_has_ten_minutes_of_720p_and_a_quick_one_has_one() -> None:
    whole, quick = recipes(is_quick=False), recipes(is_quick=True)
    assert [(r.name, r.num_frames) for r in quick] == [
        ("640x360-0.mp4", 500),
        ("640x360-1.mp4", 500),
        ("1280x720-0.mp4", 250),
        ("1280x720-1.mp4", 250),
        ("periodic.mp4", 1500),
    ]
    assert whole[-1] == Recipe("periodic.mp4", 1280, 720, 0, 600)
    assert set(quick[:-1]) < set(whole)


def test_a_corpus_is_encoded_once_from_the_footage_it_names(tmp_path: Path) -> None:
    sources = []
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(encode_video(6, width=128, height=128))
        sources.append(str(tmp_path / name))
    wanted = [Recipe("first.mp4", 128, 128, 0, 1), Recipe("second.mp4", 128, 128, 1, 1)]
    paths = encoded_corpus(sources, wanted, cache=tmp_path / "cache")
    written = [path.stat().st_mtime_ns for path in paths]
    assert encoded_corpus(sources, wanted, cache=tmp_path / "cache") == paths
    assert [path.stat().st_mtime_ns for path in paths] == written
    with av.open(str(paths[1])) as container:
        numbers = [read_number(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    assert numbers[:13] == [0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0, 5, 4], "from the second source on, there and back"
    assert len(numbers) == 25


def test_a_corpus_that_was_cut_off_is_not_taken_for_whole(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(encode_video(6))
    good = Recipe("first.mp4", 64, 48, 0, 1)
    with pytest.raises(ValueError, match="output format"):
        encoded_corpus(
            [str(tmp_path / "a.mp4")], [good, Recipe("no.such.container", 64, 48, 0, 1)], cache=tmp_path / "c"
        )
    assert list((tmp_path / "c").iterdir()) == []


def test_the_processor_time_of_children_counts() -> None:
    before = cpu_seconds()
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", burn], check=True)
    assert cpu_seconds() - before > 0.25


def test_a_contender_delivers_in_a_process_of_its_own(gapped: str, tmp_path: Path) -> None:
    workload = Workload("dense", True, [every_frame(gapped, frame_times(gapped))])
    with ExitStack() as stack:
        workers, absent = start_workers(["sora"], stack)
        spent = workers["sora"].deliver(workload, save_to=tmp_path / "frames.npy")
    assert absent == {}
    assert set(workers["sora"].versions) == {"av", "av_ffmpeg"}
    assert spent.num_frames == len(GAPS_MS)
    assert spent.cpu_s > 0
    assert [read_number(frame) for frame in np.load(tmp_path / "frames.npy")] == list(range(8))


def test_a_peer_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with ExitStack() as stack:
        workers, absent = start_workers(["ffmpeg"], stack)
    assert workers == {}
    assert "install" in absent["ffmpeg"]


def test_a_contender_of_ours_that_dies_ends_the_benchmark(tmp_path: Path) -> None:
    workload = Workload("dense", True, [Video(str(tmp_path / "none.mp4"), 2, [[0, 1]], [[0.0, 0.1]], {})])
    with ExitStack() as stack:
        workers, _ = start_workers(["decode_only"], stack)
        with pytest.raises(SoraError, match="decode_only ended without an answer"):
            workers["decode_only"].deliver(workload)


def _found(ours_rate: float) -> dict[str, dict[str, dict[str, Any]]]:
    right = Deviation(0.0, 0, 0)
    rates = {"decode_only": 100.0, "sora": ours_rate, "decord": 40.0}
    contenders = {name: {"cpu": [rate], "wall": [rate], "deviation": right} for name, rate in rates.items()}
    return dict.fromkeys(("320x240", "640x360", "1280x720", "uniform", "periodic"), contenders)


def test_the_sparse_figure_is_the_smaller_of_its_workloads() -> None:
    found = _found(90.0)
    found["periodic"] = {**found["periodic"], "decord": {**found["periodic"]["decord"], "cpu": [45.0]}}
    answer = summary(found)
    assert answer["320x240"] == {"vs_decode_only": 0.9, "vs_best_peer": 2.25, "best_peer": "decord"}
    assert answer["sparse"] == {
        "uniform": {"vs_best_peer": 2.25, "best_peer": "decord"},
        "periodic": {"vs_best_peer": 2.0, "best_peer": "decord"},
        "vs_best_peer": 2.0,
    }
    assert missed(answer) == []


def test_a_missed_figure_and_a_wrong_frame_of_ours_are_named() -> None:
    found = _found(80.0)
    sora = {**found["uniform"]["sora"], "deviation": Deviation(1.0, 2, 0)}
    assert missed(summary({**found, "uniform": {**found["uniform"], "sora": sora}})) == [
        "1280x720: 0.8 vs_decode_only, at least 0.88",
        "uniform: sora delivered wrong frames: {'mean_abs': 1.0, 'wrong_frames': 2, 'missing_frames': 0}",
    ]
