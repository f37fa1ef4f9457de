"""Readers that poll beside a writer and upkeep, and a reader that would be caught."""

from pathlib import Path

import pytest

from benchmarks.readers import table
from benchmarks.readers.engines import ENGINES, read_keys
from benchmarks.readers.proof import missed, reader_polling, wrong_videos
from benchmarks.readers.table import num_slices
from pipeline import datafiles, maintenance, storage, tables


@pytest.fixture
def aged_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A table whose replaced and unnamed files are just old enough to go."""
    monkeypatch.setattr(table, "_OLD_COMMITS", 2)
    root = storage.normalize(str(tmp_path / "root"))
    tables.create_missing(root)
    table.age_table(root, 0.0)
    return root


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_reads_the_same_keys_before_and_after_the_old_files_go(engine: str, aged_root: str) -> None:
    expected = sorted((f"v{index}", k) for index in range(8) for k in range(num_slices(f"v{index}")))
    assert sorted(read_keys(engine, aged_root)) == expected
    (upkeep,) = maintenance.maintain(aged_root, keep_hours=1, target_bytes=1 << 28, names=["features"])
    assert upkeep.vacuumed == 12  # two commits of three days, replaced; as many that nobody named
    assert sorted(read_keys(engine, aged_root)) == expected


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_that_is_gone_is_an_error_and_never_fewer_rows(engine: str, aged_root: str) -> None:
    file = next(iter(datafiles.files("features", tables.open_table(aged_root, "features"))))
    storage.delete(storage.join(datafiles.table_uri(aged_root, "features"), file.path))
    with pytest.raises(Exception, match=r"(?i)no such file|not found|cannot find|does not exist|No files found"):
        read_keys(engine, aged_root)


def test_a_torn_a_doubled_and_a_lost_video_would_be_seen() -> None:
    slices = {("v0", 0): 1, ("v5", 0): 2, ("v5", 1): 1}  # both have two
    assert wrong_videos(slices, {"v0", "v9"}) == {"partial_videos": {"v0"}, "doubled": {"v5"}, "disappeared": {"v9"}}
    assert not any(wrong_videos({("v0", 0): 1, ("v0", 1): 1}, {"v0"}).values())


def test_readers_see_whole_videos_beside_commits_compaction_and_vacuum(tmp_path: Path) -> None:
    answer = reader_polling(tmp_path, num_commits=5, old_files_s=2.0)
    assert missed(answer) == [], answer
    assert answer["commits"] == 5
