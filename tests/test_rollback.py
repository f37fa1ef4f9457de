"""Rollback: one run's rows go, all others stay, and a second time there is nothing to take."""

from pathlib import Path
from typing import Any

import pytest

from pipeline import maintenance, runs, tables
from pipeline.errors import ConfigError
from pipeline.maintenance import RolledBack
from tests.support.sora import Sora
from tests.test_maintenance import SLICES, clip_ids, local_root, paths, video_rows
from tests.test_tables import DS


def failure(video_id: str, run_key: str, *, stage: str = "decode") -> dict[str, Any]:
    video = {"video_id": video_id, "uri": f"file:///{video_id}", "version": "1"}
    return {**video, "stage": stage, "error_class": "corrupt", "attempts": 1, "run_key": run_key, "ds": DS}


def test_a_run_is_taken_out_and_all_other_rows_stay_in_their_files(tmp_path: Path) -> None:
    root = local_root(tmp_path)
    tables.append_rows(root, "features", [*video_rows("a", run_key="mine"), *video_rows("b", run_key="other")])
    tables.append_rows(root, "features", video_rows("c", run_key="mine"))
    tables.append_rows(root, "features", video_rows("d", run_key="other"))
    tables.append_rows(root, "failures", [failure("e", "mine"), failure("f", "other")])
    taken = maintenance.rollback(root, "mine")
    assert (taken.features, taken.failures) == (2 * SLICES, 1)
    assert clip_ids(root) == [f"{name}-1-{k}" for name in "bd" for k in range(SLICES)]
    assert tables.read(root, "failures", ["video_id"])["video_id"].to_pylist() == ["f"]
    assert tables.append_rows(root, "features", video_rows("a")) == SLICES


def test_a_rollback_rewrites_only_the_files_it_touches(tmp_path: Path) -> None:
    root = local_root(tmp_path)
    tables.append_rows(root, "features", video_rows("d", run_key="other"))
    untouched = paths(root)
    tables.append_rows(root, "features", [*video_rows("a", run_key="mine"), *video_rows("b", run_key="other")])
    tables.append_rows(root, "features", video_rows("c", run_key="mine"))
    maintenance.rollback(root, "mine")
    assert untouched < paths(root)
    assert len(paths(root)) == 2


def record(root: str, job: str) -> str:
    """A finished run in `runs`; its key."""
    with runs.recorded(root, job, RolledBack(0, 0, 0), ds=DS, selection={"job": job}) as run:
        return run.run_key


def test_the_command_takes_a_run_out_once_and_says_so(tmp_path: Path, sora: Sora) -> None:
    root = local_root(tmp_path)
    run_key = record(root, "extract")
    tables.append_rows(root, "features", video_rows("a", run_key=run_key))
    for expected in (SLICES, 0):
        outcome = sora("rollback", "--root", root, "--run", run_key, "--json")
        assert outcome.code == 0
        assert outcome.json == {"run": run_key, "features": expected, "failures": 0, "predictions": 0}
    counts = "list_extract(map_extract(counts, 'features'), 1)"
    recorded = sora.sql(root, f"SELECT {counts} FROM runs WHERE job = 'rollback' ORDER BY started_at")
    assert recorded == [(SLICES,), (0,)]


def test_an_unknown_run_is_refused_with_the_last_ones_named(tmp_path: Path, sora: Sora) -> None:
    root = local_root(tmp_path)
    run_key = record(root, "extract")
    for _ in range(2):  # the refusal is recorded, and makes nothing known
        outcome = sora("rollback", "--root", root, "--run", "feedfeedfeedfeed")
        assert outcome.code == 2
        assert run_key in outcome.err


def test_a_run_killed_before_it_left_a_row_can_be_taken_out_twice(tmp_path: Path, sora: Sora) -> None:
    root = local_root(tmp_path)
    tables.append_rows(root, "features", video_rows("a", run_key="killed"))
    for expected in (SLICES, 0):
        outcome = sora("rollback", "--root", root, "--run", "killed", "--json")
        assert (outcome.code, outcome.json["features"]) == (0, expected)


def test_a_run_of_catalog_is_refused_and_its_failures_stay(tmp_path: Path) -> None:
    root = local_root(tmp_path)
    run_key = record(root, "catalog")
    tables.append_rows(root, "failures", [failure("a", run_key, stage="probe")])
    with pytest.raises(ConfigError, match="--retry-failed"):
        maintenance.rollback(root, run_key)
    assert tables.read(root, "failures").num_rows == 1
