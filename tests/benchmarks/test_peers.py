"""The comparison with other ways of writing: its arithmetic, its table, and one peer that doubles every row."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from benchmarks.faults.snapshot import ClipKey
from benchmarks.faults.workload import write_model
from benchmarks.peers.job import PEERS, VIDEOS, run
from benchmarks.peers.play import Poison, Runs
from benchmarks.peers.proof import DEFAULT, OURS, WITH_POISON, Line
from benchmarks.peers.state import State, parquet_state, state
from benchmarks.peers.table import table
from pipeline import storage
from tests.support.videos import encode_video

A0, A1, B0 = ("a", "1", 0), ("a", "1", 1), ("b", "1", 0)
EXACT = State(missing=0, doubled=0, foreign=0, cut_videos=0, unreadable_files=0)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([B0, A1, A0], EXACT),
        ([], State(missing=3, doubled=0, foreign=0, cut_videos=0, unreadable_files=0)),
        ([A0, B0], State(missing=1, doubled=0, foreign=0, cut_videos=1, unreadable_files=0)),
        ([A0, A1, B0, B0, B0], State(missing=0, doubled=2, foreign=0, cut_videos=0, unreadable_files=0)),
        ([A0, A0, ("a", "2", 1)], State(missing=2, doubled=1, foreign=1, cut_videos=1, unreadable_files=0)),
    ],
)
def test_states_are_compared_by_key(found: list[ClipKey], expected: State) -> None:
    assert state([A0, A1, B0], found) == expected
    assert expected.is_exact == (expected == EXACT)


def test_a_file_without_an_end_is_counted_and_the_others_are_read(tmp_path: Path) -> None:
    rows = pa.table({"video_id": ["a", "a"], "version": ["1", "1"], "clip_index": [0, 1]})
    pq.write_table(rows, tmp_path / "whole.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "whole.parquet").read_bytes()[:-4])
    assert parquet_state(tmp_path, [A0, A1]) == State(0, 0, 0, 0, unreadable_files=1)


def test_the_table_says_what_never_ended() -> None:
    lost = State(missing=7, doubled=0, foreign=0, cut_videos=2, unreadable_files=1)
    runs = Runs(lost, EXACT, EXACT, read_at_kill=5, read_twice=4, read_by_second=9, codes=(-9, 0, 0))
    lines = [
        Line("one", "one", runs, Poison(has_ended=False, code=None, attempts=3, seconds=60.0, state=lost)),
        Line("other", "other", runs, None),
    ]
    facts = {"files": 10, "videos_with_rows": 8, "rows": 80, "versions": {}}
    rows = table(lines, facts).splitlines()[-2:]
    assert (
        rows[0]
        == "| one | 7 / 0 / 2, 1 unreadable files | 0 / 0 / 4 of 5 | 0 / 0 / 9 | not in 60 s, 3 deaths, 7 missing |"
    )
    assert rows[1].endswith("| not run |")


def test_every_way_that_is_played_exists() -> None:
    assert {*DEFAULT, *WITH_POISON} <= {*PEERS, OURS}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A peer's folder with a list of five short videos, one of them broken."""
    videos = []
    for index in range(5):
        path = tmp_path / f"{index}.mp4"
        path.write_bytes(encode_video(num_frames=24, fps=12) if index else b"not a video")
        row = {"video_id": f"v{index}", "uri": f"file://{path}", "version": storage.info(str(path)).version}
        videos.append({**row, "duration_s": 2.0, "attempts": 0})
    (tmp_path / "work").mkdir()
    pq.write_table(pa.Table.from_pylist(videos), tmp_path / "work" / VIDEOS)
    return tmp_path / "work"


def test_stock_write_parquet_doubles_every_row_when_it_is_run_twice(
    work: Path, ray_local: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ray.data.DataContext.get_current()
    for name in ("enable_progress_bars", "target_max_block_size"):
        monkeypatch.setattr(context, name, getattr(context, name))  # the peer changes them; put back afterwards
    model = write_model(work / "model", {"frames_per_clip": 4, "sample_fps": 8.0, "stride_s": 0.25, "size_px": 32})
    run(PEERS["parquet"], work, str(model))
    keys = [(row["video_id"], row["version"], row["clip_index"]) for row in pq.read_table(work / "out").to_pylist()]
    assert len({key[0] for key in keys}) == 4, "the broken video has no rows, the others have"
    assert state(set(keys), keys) == EXACT
    run(PEERS["parquet"], work, str(model))
    assert parquet_state(work / "out", set(keys)) == State(0, len(keys), 0, 0, 0)
