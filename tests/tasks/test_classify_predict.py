"""`sora classify predict` over planted roots: every row once, whatever dies, and nothing of another model."""

import os
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import polars
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline import crashpoints, datafiles, maintenance, storage, tables
from pipeline.errors import TableError
from pipeline.report.verify import verify
from pipeline.tasks.classify import heads, pending
from pipeline.tasks.classify.config import PredictConfig
from pipeline.tasks.classify.prediction import plan_prediction, predict
from pipeline.tasks.slices import read_slices
from tests.support.labelled import NOISE, NUM, SLICES, labelled_videos, run_predict, set_foreign
from tests.support.planted import DS, planted_root
from tests.support.shared import PROJECT_ROOT
from tests.support.sora import Sora

pytestmark = pytest.mark.usefixtures("no_mlflow")


def rows(root: str) -> pa.Table:
    table = tables.read(root, "predictions")
    return table.sort_by([("video_id", "ascending"), ("level", "ascending"), ("start_s", "ascending")])


def keys(root: str) -> list[tuple[str, str | None]]:
    found = rows(root)
    return list(zip(found["video_id"].to_pylist(), found["clip_id"].to_pylist(), strict=True))


def expected_keys(root: str) -> list[tuple[str, str | None]]:
    slices = read_slices(root).rows
    pairs = list(zip(slices["video_id"].to_pylist(), slices["clip_id"].to_pylist(), strict=True))
    return sorted([*pairs, *((video_id, None) for video_id in {video_id for video_id, _ in pairs})], key=str)


def test_every_slice_and_every_video_gets_what_the_head_says(root: str, sora: Sora) -> None:
    done = sora("classify", "predict", "--root", root, "--top-k", 2, "--unknown-below", 0.7, "--json")
    assert done.code == 0, done.err
    assert (done.json["videos"], done.json["clips"], done.json["already_done"]) == (NUM, NUM * SLICES, 0)
    assert sorted(keys(root), key=str) == expected_keys(root)
    head, slices = heads.load(heads.resolve(root, "main")), read_slices(root)
    found = {(row["video_id"], row["clip_id"]): row for row in rows(root).to_pylist()}
    of_video: dict[str, list[np.ndarray]] = {}
    for row, vector in zip(slices.rows.to_pylist(), slices.vectors, strict=True):
        of_video.setdefault(row["video_id"], []).append(vector)
        require_answer(found[row["video_id"], row["clip_id"]], head, vector)
        assert found[row["video_id"], row["clip_id"]]["end_s"] == row["end_s"]
    for video_id, vectors in of_video.items():
        row = found[video_id, None]
        require_answer(row, head, np.mean(vectors, axis=0, dtype=np.float64))
        assert (row["level"], row["start_s"], row["end_s"]) == ("video", 0.0, float(SLICES))
    assert sum(row["is_unknown"] for row in found.values()) == done.json["unknown_videos"] + done.json["unknown_clips"]
    assert 0 < done.json["unknown_videos"] < NUM
    assert sum(done.json["videos_by_label"].values()) == NUM
    location, _ = storage.delta_location(datafiles.table_uri(root, "predictions"))
    assert polars.scan_delta(location).select(polars.col("top_labels").list.len().sum()).collect().item() == 2 * len(
        found
    )
    assert verify(root).findings == []


def require_answer(row: dict[str, Any], head: heads.Head, vector: np.ndarray) -> None:
    probabilities = head.probabilities(vector[None])[0]
    best = np.argsort(-probabilities)[:2]
    assert row["top_labels"] == [head.classes[index] for index in best]
    assert row["top_probabilities"] == pytest.approx(probabilities[best], abs=1e-6)
    assert row["probability"] == row["top_probabilities"][0]
    assert row["is_unknown"] == (row["probability"] < 0.7)
    assert row["label"] == ("unknown" if row["is_unknown"] else row["top_labels"][0])


def test_only_what_is_new_is_predicted(root: str) -> None:
    assert run_predict(root) == NUM
    before = rows(root)
    assert run_predict(root) == 0
    planted_root(root, labelled_videos(6, first=NUM, noise=NOISE))
    assert run_predict(root) == 6
    assert sorted(keys(root), key=str) == expected_keys(root)
    old = rows(root).filter(pc.is_in(rows(root)["video_id"], before["video_id"].combine_chunks()))
    assert old.equals(before)


def test_a_killed_run_loses_and_doubles_nothing(root: str) -> None:
    """One kill after the other, and each run goes on where the last one died."""
    command = [sys.executable, "-m", "jobs.classify", "predict", "--root", root, "--batch-slices", "20"]
    num_rows = []
    for point in ("before_log_entry", "after_log_entry", "before_run_row"):
        env = {**os.environ, "SORA_CRASH_AT": point, "PYTHONPATH": str(PROJECT_ROOT)}
        killed = subprocess.run(command, env=env, cwd=PROJECT_ROOT, capture_output=True, timeout=200)
        assert killed.returncode == crashpoints.EXIT_CODE, killed.stderr
        num_rows.append(tables.read(root, "predictions").num_rows)
    assert num_rows[0] == 0
    assert 0 < num_rows[1] < num_rows[2] == NUM * (SLICES + 1)
    assert run_predict(root) == 0
    assert sorted(keys(root), key=str) == expected_keys(root)
    assert verify(root).findings == []


def test_two_runs_at_once_double_nothing(root: str) -> None:
    plans = [plan_prediction(PredictConfig(root, batch_slices=size)) for size in (20, 30)]
    assert [plan.pending.videos.num_rows for plan in plans] == [NUM, NUM]
    for plan in plans:
        predict(plan, run_key="r" * 16, ds=DS)
    assert sorted(keys(root), key=str) == expected_keys(root)


def test_a_video_that_lies_in_several_files_is_predicted_whole(root: str) -> None:
    features = tables.read(root, "features")
    tables.replace(root, "features", pc.field("clip_index") >= 0, lambda taken: taken.slice(0, 0))
    for index in range(SLICES):
        part = features.filter(pc.equal(features["clip_index"], index))
        assert tables.swap(root, "features", [], datafiles.write(root, "features", part))
    assert run_predict(root, batch_slices=1) == NUM
    assert sorted(keys(root), key=str) == expected_keys(root)


@pytest.mark.parametrize("batch_slices", [1, 7, 1000])
def test_no_more_slices_are_held_than_asked_for_and_one_video(root: str, batch_slices: int) -> None:
    plan = plan_prediction(PredictConfig(root))
    parts = list(pending.whole_videos(root, plan.pending, plan.head, batch_slices=batch_slices))
    assert sum(part.num_rows for part in parts) == NUM * SLICES
    assert all(part.num_rows < 2 * batch_slices + SLICES for part in parts)
    assert all(set(pc.value_counts(part["video_id"]).field("counts").to_pylist()) == {SLICES} for part in parts)


def test_files_without_a_pending_video_are_not_read(root: str) -> None:
    run_predict(root)
    planted_root(root, labelled_videos(2, first=NUM, noise=NOISE))
    plan = plan_prediction(PredictConfig(root))
    read = pending._files_of(root, plan.pending, plan.head).files
    assert (len(read), sum(1 for _ in datafiles.files("features", plan.pending.features))) == (1, 2)


def test_a_head_of_another_model_is_refused(root: str, sora: Sora) -> None:
    planted_root(root, labelled_videos(2), version="2")  # the new champion
    refused = sora("classify", "predict", "--root", root)
    assert refused.code == 2
    assert "--model 1" in refused.err
    assert sora("classify", "predict", "--root", root, "--model", 1).code == 0


@pytest.mark.parametrize("column", ["model_digest", "sampling_digest"])
def test_vectors_that_something_else_made_are_refused(root: str, column: str) -> None:
    set_foreign(root, column)
    with pytest.raises(TableError, match="trained on vectors of another model"):
        plan_prediction(PredictConfig(root))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--head", "nobody"], "main/1"),
        (["--unknown-below", 1.5], "--unknown-below"),
        (["--top-k", 0], "--top-k"),
        (["--batch-slices", 0], "--batch-slices"),
    ],
)
def test_what_cannot_be_predicted_is_refused(trained: str, options: list[object], expected: str, sora: Sora) -> None:
    refused = sora("classify", "predict", "--root", trained, *options)
    assert refused.code == 2
    assert expected in refused.err


def test_a_threshold_is_changed_by_taking_the_run_back(root: str, sora: Sora) -> None:
    first = sora("classify", "predict", "--root", root, "--json").json
    refused = sora("classify", "predict", "--root", root, "--unknown-below", 0.6)
    assert refused.code == 2
    assert first["run_key"] in refused.err
    taken = sora("rollback", "--root", root, "--run", first["run_key"], "--json").json
    assert taken["predictions"] == NUM * (SLICES + 1)
    assert sora("classify", "predict", "--root", root, "--unknown-below", 0.6, "--json").json["videos"] == NUM
    assert rows(root)["unknown_below"].unique().to_pylist() == pytest.approx([0.6])


def test_upkeep_changes_no_prediction(root: str) -> None:
    run_predict(root, batch_slices=10)
    before = rows(root)
    (upkeep,) = maintenance.maintain(root, keep_hours=168, target_bytes=1 << 20, names=["predictions"])
    assert (upkeep.combined, upkeep.files_after) == (1, 1)
    assert rows(root).equals(before)


def test_a_root_of_before_the_table_is_read_and_gets_it(root: str, sora: Sora) -> None:
    shutil.rmtree(storage.local_path(datafiles.table_uri(root, "predictions")))
    assert sora.sql(root, "SELECT count(*) FROM predictions") == [(0,)]
    assert sora("maintain", "--root", root).code == 0
    assert sora("rollback", "--root", root, "--run", "0" * 16).code == 0  # the run that planted the vectors
    assert tables.read(root, "features").num_rows == 0
    with pytest.raises(TableError, match="sora catalog"):
        tables.read(root, "predictions")
    planted_root(root, labelled_videos(2, noise=NOISE))
    assert run_predict(root) == 2


def test_on_s3_a_head_is_trained_and_used(s3_root: str, sora: Sora) -> None:
    planted_root(s3_root, labelled_videos(24))
    assert sora("classify", "train", "--root", s3_root, "--split-column", "split1", "--folds", 2).code == 0
    assert sora("classify", "predict", "--root", s3_root, "--json").json["videos"] == 24
    assert sora("classify", "report", "--root", s3_root, "--json").json["unseen"]["videos"] == 6
