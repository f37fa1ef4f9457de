"""Curves of a training: from MLflow, from the spool while MLflow is down, and in words where there are none."""

from pathlib import Path

import pytest

from pipeline import storage, tracking
from pipeline.tracking_curves import curves
from pipeline.tracking_spool import Entry, Spool, TrackedRun

NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens there


def kept(root: str, run: TrackedRun, steps: dict[int, float]) -> None:
    spool = Spool(storage.normalize(root))
    for step, value in steps.items():
        spool.keep(Entry(run, "metrics", 1_000 * step, {"values": {"train_loss": value}, "step": step}))


def trained(name: str, *, started_ms: int, run_id: str | None = None, job: str = "train") -> TrackedRun:
    return TrackedRun(name * 32, name, {"sora_job": job}, started_ms, run_id)


def test_what_mlflow_was_told_and_what_waits_are_one_curve(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    tracker = tracking.Tracker(root, run_name="run", tags={"sora_job": "train"})
    tracker.log_metrics({"train_loss": 3.0}, step=1)
    tracker.log_metrics({"train_loss": 2.0}, step=2)
    tracker.finish()
    assert curves(root, tracker.run_id).values == {"train_loss": [(1, 3.0), (2, 2.0)]}
    assert str(tracker.run_id) in curves(root, tracker.run_id).source
    kept(root, tracker.run, {2: 1.5, 3: 1.0})
    assert curves(root, tracker.run_id).values == {"train_loss": [(1, 3.0), (2, 1.5), (3, 1.0)]}
    assert "no run" in curves(root, "f" * 32).source


def test_a_training_that_never_reached_mlflow_shows_what_waits_of_the_newest(tmp_path: Path) -> None:
    root = str(tmp_path)
    kept(root, trained("a", started_ms=1), {1: 9.0})
    kept(root, trained("b", started_ms=2), {1: 3.0, 2: 2.0})
    kept(root, trained("c", started_ms=3, job="evaluate"), {1: 7.0})
    assert curves(root, None).values == {"train_loss": [(1, 3.0), (2, 2.0)]}


def test_where_there_are_no_curves_the_reason_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = str(tmp_path)
    assert (curves(root, None).values, curves(root, None).source) == ({}, "MLflow never heard of the training")
    assert "not on this machine" in curves(root, "run").source
    assert not (tmp_path / "mlflow.db").exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOBODY)
    assert "does not answer" in curves(root, "run").source
