"""`sora classify` over planted roots: the figures of a training, rows once whatever dies, labels held against them."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline import crashpoints, datafiles, maintenance, storage, tables, tracking_spool
from pipeline.errors import ConfigError, TableError
from pipeline.evaluate.judge import judge
from pipeline.report.verify import verify
from pipeline.tasks.classify import heads, pending
from pipeline.tasks.classify.config import PredictConfig, TrainConfig
from pipeline.tasks.classify.prediction import plan_prediction, predict
from pipeline.tasks.classify.training import plan_training
from pipeline.tasks.slices import read_slices
from tests.support.labelled import labelled_root, labelled_videos
from tests.support.planted import DS, Planted, planted_root
from tests.support.shared import PROJECT_ROOT
from tests.support.sora import Sora

NOBODY = "http://127.0.0.1:9"  # MLflow's own tests have a server; here its spool says what it would be told
NUM, SLICES, NOISE = 48, 2, 3.0


@pytest.fixture(autouse=True)
def no_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOBODY)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A root with head main/1, trained on split1; copy it before you change it."""
    root = labelled_root(tmp_path_factory.mktemp("classify"), NUM, noise=NOISE)
    from jobs import cli

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", NOBODY)
        assert cli.main(["classify", "train", "--root", root, "--split-column", "split1"]) == 0
    return root


@pytest.fixture
def root(trained: str, tmp_path: Path) -> str:
    copy = tmp_path / "copy"
    shutil.copytree(storage.local_path(trained), copy)
    return storage.normalize(str(copy))


def run_predict(root: str, **options: Any) -> int:
    """Predict in this process; returns the number of videos."""
    plan = plan_prediction(PredictConfig(root, **options))
    return predict(plan, run_key="r" * 16, ds=DS).videos


def rows(root: str) -> pa.Table:
    table = tables.read(root, "predictions")
    return table.sort_by([("video_id", "ascending"), ("level", "ascending"), ("start_s", "ascending")])


def keys(root: str) -> list[tuple[str, str | None]]:
    found = rows(root)
    return list(zip(found["video_id"].to_pylist(), found["clip_id"].to_pylist(), strict=True))


def set_foreign(root: str, column: str) -> None:
    """The second slice of every video says that something else made it."""

    def changed(taken: pa.Table) -> pa.Table:
        index = taken.column_names.index(column)
        return taken.set_column(index, taken.schema.field(index), pa.array(["x"] * taken.num_rows))

    tables.replace(root, "features", pc.field("clip_index") == 1, changed)


def expected_keys(root: str) -> list[tuple[str, str | None]]:
    slices = read_slices(root).rows
    pairs = list(zip(slices["video_id"].to_pylist(), slices["clip_id"].to_pylist(), strict=True))
    return sorted([*pairs, *((video_id, None) for video_id in {video_id for video_id, _ in pairs})], key=str)


def test_on_a_split_the_head_has_the_figures_of_the_linear_probe_to_the_digit(root: str) -> None:
    plan = plan_training(TrainConfig(root, split_column="split1"))
    judged = judge(lambda is_train, seed: plan.vectors, plan.rows, num_seeds=1)
    accuracy = heads.load(heads.resolve(root, "main")).description["metrics"]["accuracy"]
    assert {name: accuracy[name] for name in ("mean", "sd", "ci95")} == judged.linear_probe
    assert 0.4 < accuracy["mean"] < 1.0, "a task on which heads can differ"


def test_training_writes_a_head_once_and_tells_mlflow(root: str, sora: Sora) -> None:
    first = heads.load(heads.resolve(root, "main"))
    again = sora("classify", "train", "--root", root, "--split-column", "split1", "--json")
    assert again.code == 0, again.err
    assert (again.json["head"], again.json["version"]) == ("main", "1")
    assert heads.load(heads.resolve(root, "main")).description == first.description
    assert len(first.trained_videos) == 36 == again.json["num_videos"]
    there = {path.name for path in storage.local_path(again.json["uri"]).iterdir()}
    assert there == {"claim", "head.json", "head.safetensors", "confusion.png", "report.txt"}

    validated = sora("classify", "train", "--root", root, "--kind", "mlp", "--folds", 2, "--json")
    found = validated.json
    assert (found["version"], found["kind"], found["num_videos"], found["num_sources"]) == ("2", "mlp", NUM, NUM / 6)
    assert len(found["metrics"]["accuracy"]["folds"]) == 2
    assert found["metrics"]["num_tested"] == NUM
    low, high = found["metrics"]["accuracy"]["ci95"]
    assert low <= found["metrics"]["accuracy"]["mean"] <= high

    entries = [json.loads(storage.read_bytes(uri)) for uri in tracking_spool.waiting(root)]
    told = [entry["fields"] for entry in entries if entry["run"]["name"] == "classify-main-2"]
    metrics = next(fields["values"] for fields in told if "accuracy.mean" in fields.get("values", {}))
    assert metrics["accuracy.mean"] == found["metrics"]["accuracy"]["mean"]
    files = next(fields["files"] for fields in told if "files" in fields)
    assert {"head/head.safetensors", "head/head.json", "head/confusion.png"} <= set(files)
    counts = sora.sql(root, "SELECT job, counts['classes'] FROM runs WHERE job = 'classify train' ORDER BY started_at")
    assert [dict([row])["classify train"] for row in counts] == [3, 3, 3]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--split-column", "split9"], "split1"),
        (["--name", "../x"], "--name"),
        (["--folds", 1], "--folds"),
        (["--seed", -1], "--seed"),
        (["--model", 9], "leads nowhere"),
        (["--kind", "forest"], "--kind"),
    ],
)
def test_what_cannot_be_trained_is_refused(trained: str, options: list[object], expected: str, sora: Sora) -> None:
    refused = sora("classify", "train", "--root", trained, *options)
    assert refused.code == 2
    assert expected in refused.err


def test_a_root_without_labels_or_with_mixed_vectors_is_refused(tmp_path: Path) -> None:
    bare = planted_root(str(tmp_path / "bare"), {"a.mp4": Planted(np.zeros((1, 4)))})
    with pytest.raises(ConfigError, match="No video of the root has a label"):
        plan_training(TrainConfig(bare))
    mixed = labelled_root(tmp_path)
    set_foreign(mixed, "model_digest")
    with pytest.raises(TableError, match="not all its own"):
        plan_training(TrainConfig(mixed))


def test_a_group_column_that_no_label_has_is_said(trained: str) -> None:
    assert plan_training(TrainConfig(trained)).remarks == []
    (remark,) = plan_training(TrainConfig(trained, group_column="camera")).remarks
    assert "camera" in remark


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


def test_the_report_tells_videos_of_the_training_from_others(root: str, sora: Sora) -> None:
    run_predict(root)
    told = sora("classify", "report", "--root", root)
    assert told.code == 0
    assert "WAS IN TRAINING" not in told.out
    found = sora("classify", "report", "--root", root, "--json").json
    metrics = heads.load(heads.resolve(root, "main")).description["metrics"]
    assert (found["unseen"]["videos"], found["in_training"]["videos"]) == (12, 36)
    assert found["unseen"]["accuracy"] == found["unseen"]["accuracy_of_known"] == metrics["accuracy"]["mean"]
    assert found["unseen"]["ci95"] == metrics["accuracy"]["ci95"]
    assert found["unseen"]["ece"] == pytest.approx(metrics["ece"], abs=1e-4)
    assert found["in_training"]["accuracy"] > found["unseen"]["accuracy"]
    for name, one in found["unseen"]["per_class"].items():
        assert {key: one[key] for key in ("precision", "recall", "f1", "support")} == metrics["per_class"][name]
    folder = storage.local_path(root) / "heads/main/1/report"
    assert {path.name for path in folder.iterdir()} == {"report.json", "report.txt", "confusion.png"}


def test_a_report_on_training_videos_alone_says_so(root: str, sora: Sora) -> None:
    tables.replace(root, "labels", pc.field("source") == "planted", lambda taken: taken.slice(0, 36))
    run_predict(root)
    told = sora("classify", "report", "--root", root)
    assert "EVERY LABELLED VIDEO WITH PREDICTIONS WAS IN TRAINING" in told.out
    assert sora("classify", "report", "--root", root, "--json").json["unseen"] is None


def test_unknown_videos_and_classes_the_head_never_learned_are_counted(root: str, tmp_path: Path, sora: Sora) -> None:
    new = {uri: replace(video, label="strange") for uri, video in labelled_videos(3, first=NUM, noise=NOISE).items()}
    planted_root(root, new)
    run_predict(root, unknown_below=0.8)
    found = sora("classify", "report", "--root", root, "--output", tmp_path / "out", "--json").json
    counted = sora.sql(root, "SELECT count(*) FROM predictions WHERE level = 'video' AND is_unknown")
    both = (found["unseen"], found["in_training"])
    assert [(sum(one["unknown"] for one in both),)] == counted
    assert all(one["unknown"] == sum(of["unknown"] for of in one["per_class"].values()) for one in both)
    assert 0 < counted[0][0] < NUM + 3
    assert found["classes_unknown_to_the_head"] == ["strange"]
    assert found["unseen"]["per_class"]["strange"]["recall"] == 0.0
    assert found["unseen"]["accuracy_of_known"] > found["unseen"]["accuracy"]
    assert (tmp_path / "out" / "confusion.png").stat().st_size > 1000


def test_a_report_without_predictions_names_the_command(root: str, sora: Sora) -> None:
    tables.create_missing(root)
    refused = sora("classify", "report", "--root", root)
    assert refused.code == 2
    assert "sora classify predict" in refused.err


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["--help"], 0), (["guess"], 2)])
def test_the_command_names_its_subcommands(arguments: list[str], code: int, sora: Sora) -> None:
    outcome = sora("classify", *arguments)
    assert outcome.code == code
    assert "train,predict,report" in outcome.out + outcome.err
