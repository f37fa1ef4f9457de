"""The comparison of whole extractions: which frames make a clip, what two runs say of a rate, what is the same."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.decode.planning import shown as shown_by_bisection
from benchmarks.extract import documented, growth
from benchmarks.extract.contenders import LOOP, OURS, PEERS, Outcome, Prepared, _plain, pinned
from benchmarks.extract.corpus import NUM_LONG, ONE_FRAME, Sizes, paths, placed, sizes, write_model
from benchmarks.extract.loop import extract as loop_extract
from benchmarks.extract.network import Network
from benchmarks.extract.outcome import Agreement, Run, agreement, clips_per_s, start_up_s
from benchmarks.extract.proof import VERSUS, missed, summary, table
from benchmarks.extract.task import SAMPLING, Task, shown
from pipeline.decode.sampling import SamplingConfig, num_clips
from tests.support.videos import encode_video

LOCK = ["numpy==2.4.6", "ray==2.60.0 ; python_version >= '3.11'", "raylib==1.0"]


def test_the_rate_is_what_the_whole_corpus_has_beyond_the_small_one() -> None:
    small, whole = Run(wall_s=14.0, num_rows=40), Run(wall_s=34.0, num_rows=440)
    assert clips_per_s(small, whole) == 20.0
    assert start_up_s(small, whole) == 12.0, "14 s less 40 clips at 20 a second"


@pytest.mark.parametrize("whole", [Run(10.0, 440), Run(34.0, 40)])
def test_a_whole_corpus_that_says_nothing_is_refused(whole: Run) -> None:
    with pytest.raises(ValueError, match="longer run"):
        clips_per_s(Run(14.0, 40), whole)


@pytest.mark.parametrize(
    ("pts_s", "num"),
    [
        ([index / 30 for index in range(40)], 1),
        ([index / 30 for index in range(44)], 2),
        ([index / 25 for index in range(1500)], 60),
        ([0.0, 0.1, 0.5, 1.7], 3),
        ([0.0], 1),
    ],
)
def test_the_frames_of_a_clip_are_those_that_our_reader_shows(pts_s: list[float], num: int) -> None:
    config = SamplingConfig(**SAMPLING)
    clips = shown(pts_s, config)
    assert clips.shape == (num, 16)
    if len(pts_s) > 1:
        assert clips.tolist() == shown_by_bisection(pts_s, config)
        assert num == num_clips(config, 2 * pts_s[-1] - pts_s[-2])


def _vectors(*numbers: float) -> dict[tuple[str, int], np.ndarray]:
    return {("a.mp4", index): np.array([10.0, number], np.float32) for index, number in enumerate(numbers)}


def test_equal_vectors_agree_and_what_is_not_in_both_is_counted() -> None:
    ours, theirs = _vectors(-1, 0, 1), _vectors(-1, 0, 1, 5)
    del theirs["a.mp4", 0]
    found = agreement(ours, theirs, num_rows=4)  # one of its three clips is there twice
    assert found == Agreement(1.0, 1.0, 1.0, missing=1, extra=2)


def test_vectors_of_other_clips_are_seen_where_plain_cosine_is_blind() -> None:
    ours, theirs = _vectors(-1, -1, 1, 1), _vectors(1, 1, -1, -1)
    found = agreement(ours, theirs, num_rows=4)
    assert found.median_cosine is not None
    assert found.median_cosine > 0.97
    assert found.median_centred_cosine == -1.0


def test_nothing_in_common_is_no_cosine() -> None:
    assert agreement(_vectors(1, 2), {}, num_rows=0) == Agreement(None, None, None, missing=2, extra=0)


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [("ray[data]", "ray[data]==2.60.0"), ("numpy", "numpy==2.4.6"), ("decord==0.6.0", "decord==0.6.0")],
)
def test_versions_come_from_our_lock_unless_they_are_named(requirement: str, expected: str) -> None:
    assert pinned(requirement, LOCK) == expected


def test_a_corpus_of_any_size_is_links_under_other_names(tmp_path: Path) -> None:
    sources = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for source in sources:
        source.write_text(source.name)
    folder = placed(tmp_path / "corpus", sources, "clip", number=5)
    assert [Path(path).read_text()[0] for path in paths(folder)] == ["a", "b", "a", "b", "a"]
    assert len({os.stat(path).st_ino for path in paths(folder)}) == 2


def test_long_videos_are_taken_first_and_the_small_corpus_is_part_of_the_whole(tmp_path: Path) -> None:
    (tmp_path / "video.mp4").touch()
    videos = [tmp_path / "video.mp4"] * 3
    placed(tmp_path / "small", videos[:2], "1-clip")
    placed(tmp_path / "whole", videos, "1-clip")
    placed(tmp_path / "whole", videos[:NUM_LONG], "0-long")
    small, whole = ([Path(path).name for path in paths(tmp_path / name)] for name in ("small", "whole"))
    assert whole[:NUM_LONG] == [f"0-long-{index:06d}.mp4" for index in range(NUM_LONG)]
    assert set(small) < set(whole)


def test_the_driver_is_measured_from_a_thousand_clips_to_a_hundred_thousand() -> None:
    whole = sizes(is_quick=False)
    assert (whole.few, whole.many) == (1_000, 100_000)
    assert [num_clips(SamplingConfig(**ONE_FRAME), duration_s) for duration_s in (0.04, 2.0, 60.0)] == [1, 1, 1]
    for wanted in (whole, sizes(is_quick=True)):
        assert wanted.small < wanted.whole


def test_frames_are_put_in_order_and_the_last_stands_where_a_video_ended() -> None:
    frames = [np.full((2, 2, 3), number, np.uint8) for number in (3, 1, 2)]
    clip = documented._in_order([0.3, 0.1, 0.2], frames)
    assert clip[:, 0, 0, 0].tolist() == [1, 2, *[3] * 14]


def test_what_a_peer_wrote_is_read_whatever_it_calls_the_video() -> None:
    embedding = pa.array([[1.0, 2.0]], pa.list_(pa.float64(), 2))
    rows = pa.table({"path": ["file:///x/a.mp4"], "clip_index": pa.array([7], pa.int32()), "embedding": embedding})
    assert _plain(rows).to_pylist() == [{"name": "a.mp4", "clip_index": 7, "embedding": [1.0, 2.0]}]


def test_the_loop_gives_every_clip_the_vector_of_its_own_frames(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    videos = []
    for index, num_frames in enumerate((30, 60)):
        (tmp_path / f"{index}.mp4").write_bytes(encode_video(num_frames))
        videos.append(str(tmp_path / f"{index}.mp4"))
    (tmp_path / "output").mkdir()
    model = str(write_model(tmp_path / "model"))
    loop_extract(Task(videos, model, str(tmp_path / "output"), 2))
    rows = pa.concat_tables([pq.read_table(file) for file in sorted((tmp_path / "output").iterdir())])
    found = sorted((row["name"], row["clip_index"]) for row in rows.to_pylist())
    assert found[0] == ("0.mp4", 0)
    assert len(set(found)) == len(found)
    assert {name for name, _ in found} == {"0.mp4", "1.mp4"}
    values = Network(model, num_threads=1).encoded(np.zeros((1, 16, 64, 64, 3), np.uint8))
    assert len(rows["embedding"][0]) == values["embedding"].shape[1]
    assert not np.allclose(rows["embedding"][0].as_py(), values["embedding"][0]), "as if the frames were black"


SMALL = Run(10.0, 40)


def _answer(**seconds: float) -> dict[str, Any]:
    """A summary of two rounds in which each contender took so long for 400 clips beyond the small corpus."""
    runs = {name: [(SMALL, Run(10.0 + took_s, 440))] * 2 for name, took_s in seconds.items()}
    same = Agreement(1.0, 1.0, 1.0, missing=0, extra=0)
    figures = summary(runs, {name: same for name in runs if name != OURS})
    return {**figures, "driver_rss_growth_mb": 1.0, "scaling": None, "cost": None, "s3": None}


def test_every_ratio_of_the_issue_is_there_under_its_name() -> None:
    answer = _answer(sora=10.0, loop=9.5, ray_read_videos=40.0, daft=30.0, dataloader=25.0)
    assert {key: answer[key] for key in VERSUS} == {
        "vs_loop": 0.95,
        "vs_ray_read_videos": 4.0,
        "vs_daft": 3.0,
        "vs_dataloader": 2.5,
    }
    assert (answer["clips_per_s"], answer["start_up_s"]) == (40.0, 9.0)
    assert set(VERSUS.values()) == {LOOP, *PEERS}
    assert missed(answer) == []
    assert "| dataloader | 16.0 [16.0, 16.0] |" in table(answer)


def test_an_absent_peer_has_no_ratio_and_misses_nothing() -> None:
    answer = _answer(sora=10.0, loop=10.0)
    assert answer["vs_daft"] is None
    assert missed(answer) == []


def test_every_missed_figure_is_named() -> None:
    answer = _answer(sora=10.0, loop=8.0, daft=19.0)
    answer["driver_rss_growth_mb"] = 51.0
    answer["scaling"], answer["cost"] = {"of_linear": 0.8}, {"tenfold_over_once": 1.2}
    answer["s3"] = {"missing": 1, "min_cosine": 1.0}
    answer["agreement"][LOOP] = asdict(Agreement(1.0, 0.9, 1.0, missing=0, extra=0))
    words = missed(answer)
    assert [word.split()[0] for word in words] == ["0.8", "1.9", "the", "2", "a", "the", "from"]


class Job:
    """Stands for the runs of our job: start-up, then so many seconds a row, and memory by the row."""

    def __init__(self, seconds_a_row: float, kilobytes_a_row: int = 0):
        self._seconds, self._kilobytes = seconds_a_row, kilobytes_a_row

    def __call__(self, work: Prepared, folder: Path, what: str, *, num_workers: int | None = None) -> Outcome:
        num_rows = len(paths(Path(work.corpus)))
        took_s = 10.0 + num_rows * self._seconds / (num_workers or 1) ** 0.5
        return Outcome(Run(took_s, num_rows), {}, {}, 10**8 + num_rows * self._kilobytes * 1000)


@pytest.fixture
def works(tmp_path: Path) -> list[Prepared]:
    """A corpus of two videos, and one of twelve."""
    (tmp_path / "a.mp4").touch()
    corpora = [placed(tmp_path / f"{number}", [tmp_path / "a.mp4"], "clip", number=number) for number in (2, 12)]
    return [Prepared(corpus, tmp_path, tmp_path, 0.0) for corpus in corpora]


def test_two_workers_are_held_against_twice_the_rate_of_one(
    works: list[Prepared], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "_outcome", Job(1.0))
    found = growth.scaling(*works, tmp_path, num_rounds=2)
    assert found["clips_per_s"] == {"1": [1.0, [1.0, 1.0]], "2": [1.41, [1.41, 1.41]]}
    assert found["of_linear"] == 0.707


@pytest.mark.shared_videos
def test_a_clip_of_ten_times_the_corpus_is_held_against_one_of_the_corpus(
    works: list[Prepared], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "_outcome", Job(0.5))
    monkeypatch.setattr(growth, "prepared", lambda corpus, model, root: Prepared(corpus, root, model, 0.0))
    found = growth.cost_growth(works[0], tmp_path, tmp_path, Sizes(1, 2, tenfold=5, few=0, many=0), num_rounds=2)
    assert found == {"ms_per_clip": {"1": [500.0, [500.0] * 2], "10": [500.0, [500.0] * 2]}, "tenfold_over_once": 1.0}


@pytest.mark.shared_videos
def test_the_driver_is_said_to_grow_by_what_many_clips_take_beyond_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "_outcome", Job(0.5, kilobytes_a_row=100))
    monkeypatch.setattr(growth, "prepared", lambda corpus, model, root: Prepared(corpus, root, model, 0.0))
    found = growth.driver_memory(tmp_path, Sizes(1, 2, tenfold=0, few=3, many=23))
    assert found == {"driver_peak_rss_mb": {"3": 100.3, "23": 102.3}, "driver_rss_growth_mb": 2.0}
