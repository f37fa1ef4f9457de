"""MLflow: a run, a registered model and its alias on a real server; and a job that goes on without one."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import registry, tracking
from pipeline.errors import CheckpointError
from pipeline.model.autoencoder import build_model
from pipeline.model.checkpoint import save_checkpoint
from pipeline.model.config import sora_xs
from tests.support.mlflow_server import MlflowServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server with its own database and artifact store."""
    mlflow_server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    try:
        mlflow_server.start()
        yield mlflow_server.uri
    finally:
        mlflow_server.stop()


def saved_model(folder: Path) -> Path:
    model = build_model(sora_xs(), num_classes=0)
    save_checkpoint(folder, model, labels=[], sampling={"frames_per_clip": 8}, metrics={"loss": 1.0})
    return folder


def test_a_run_and_its_champion_are_found_again(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    root, folder = f"file://{tmp_path}/root", saved_model(tmp_path / "checkpoint")
    tracker = tracking.Tracker(root, run_name="first")
    tracker.log_params({"a": {"b": 1}})
    tracker.log_metrics({"loss": 0.5}, step=1)
    published = registry.publish(root, folder)
    tags = {"sora_uri": published.uri}
    tracker.register_model([f"{published.uri}/model.safetensors", f"{published.uri}/model.json"], tags=tags)
    tracker.set_champion(tags)
    tracker.finish()
    assert registry.resolve(root, "models:/sora@champion") == published
    assert registry.resolve(root, "models:/sora/1") == published
    from mlflow import MlflowClient

    run = MlflowClient(server).get_run(str(tracker.run_id))
    assert (run.data.params["a.b"], run.data.metrics["loss"], run.info.status) == ("1", 0.5, "FINISHED")
    again = tracking.Tracker(root, run_name="first", run=replace(tracker.run, run_id=None))
    assert again.run_id == tracker.run_id
    with pytest.raises(CheckpointError, match="models:/sora@nobody"):
        registry.resolve(root, "models:/sora@nobody")


def test_a_job_goes_on_when_mlflow_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with caplog.at_level(logging.WARNING):
        tracker = tracking.Tracker(str(tmp_path), run_name="alone")
        tracker.log_metrics({"loss": 0.5})
        tracker.log_text("text", "report.txt")
        tracker.finish()
    assert tracker.run_id is None
    assert sum("goes on without it" in record.message for record in caplog.records) == 1


def test_publishing_twice_keeps_the_number_and_other_weights_get_the_next(tmp_path: Path) -> None:
    root = f"file://{tmp_path / 'root'}"
    first = registry.publish(root, saved_model(tmp_path / "a"))
    assert registry.publish(root, tmp_path / "a") == first
    second = registry.publish(root, saved_model(tmp_path / "b"))
    assert (first.version, second.version) == ("1", "2")
    with pytest.raises(CheckpointError, match="leads nowhere"):
        registry.resolve(root)
    registry.promote(root, "2")
    assert registry.resolve(root) == registry.resolve(root, "2") == second
    foreign = registry.resolve(f"file://{tmp_path / 'elsewhere'}", first.uri)
    assert (foreign.version, foreign.digest) == (first.digest[:12], first.digest)
