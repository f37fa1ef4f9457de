"""An MLflow that is down and comes up: what it was not told is told later, with its own times, and once."""

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from pipeline import storage, tables, tracking, tracking_spool
from pipeline.tracking_spool import TrackedRun
from tests.support.mlflow_server import MlflowServer
from tests.support.sora import Sora

NOBODY = "http://127.0.0.1:9"  # the port of a service that nothing here offers
RUN = TrackedRun("0" * 32, "run", {}, 1_000)
REPLAY = "import sys; from pipeline import tracking; print(tracking.replay(sys.argv[1]))"
WEIGHTS = b"weights" * 1000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A server that the first test finds down and starts."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    yield server
    server.stop()


@pytest.fixture
def up(server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[], MlflowServer]:
    """Starts the server where it is down, and leads MLflow's clients to it."""

    def start() -> MlflowServer:
        if not server.is_started:
            server.start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        return server

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOBODY)
    return start


@dataclass
class Shown:
    """A run as the server shows it."""

    status: str
    times_ms: tuple[int, int | None]
    params: dict[str, str]
    metrics: dict[str, list[tuple[int, float, int]]] = field(default_factory=dict)  # step, value, time
    files: set[str] = field(default_factory=set)
    versions: list[Any] = field(default_factory=list)


def shown(uri: str, run_name: str) -> list[Shown]:
    """Every run of a name."""
    from mlflow import MlflowClient

    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name("sora")
    found = []
    for run in client.search_runs([experiment.experiment_id], f"attributes.run_name = '{run_name}'"):
        run_id = run.info.run_id
        one = Shown(run.info.status, (run.info.start_time, run.info.end_time), dict(run.data.params))
        for name in run.data.metrics:
            one.metrics[name] = [(m.step, m.value, m.timestamp) for m in client.get_metric_history(run_id, name)]
        folders = [""]
        while folders:
            for entry in client.list_artifacts(run_id, folders.pop() or None):
                (folders.append if entry.is_dir else one.files.add)(entry.path)
        one.versions = list(client.search_model_versions(f"run_id = '{run_id}'"))
        found.append(one)
    return found


def published(root: str) -> list[str]:
    """The files of a model that lies in the root."""
    storage.put(storage.join(root, "models", "1", "model.safetensors"), WEIGHTS)
    return [storage.join(root, "models", "1", "model.safetensors")]


def whole_run(root: str, name: str, *, num_steps: int = 2) -> tracking.Tracker:
    """Everything a run can log."""
    tracker = tracking.Tracker(root, run_name=name, tags={"sora_job": "train"})
    tracker.log_params({"a": {"b": 1}})
    for step in range(num_steps):
        tracker.log_metrics({"loss": 1.0 / (step + 1)}, step=step)
    tracker.log_text("a text", "report.txt")
    tracker.log_figure(Figure((1, 1)), "picture.png")
    tracker.register_model(published(root), tags={"sora_uri": f"{root}/{name}"})
    tracker.set_champion({"sora_uri": f"{root}/{name}"})
    tracker.finish()
    return tracker


def champion(uri: str) -> str:
    from mlflow import MlflowClient

    return str(MlflowClient(uri, uri).get_model_version_by_alias("sora", "champion").tags["sora_uri"])


def test_what_could_not_be_logged_is_logged_later(
    server: MlflowServer, up: Callable[[], MlflowServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = f"file://{tmp_path}/root"
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "deep" / "file").write_text("x")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    began_ms = time.time_ns() // 1_000_000
    lost = whole_run(root, "lost")
    other = tracking.Tracker(root, run_name="other")
    other.log_folder(tmp_path / "folder", "files")
    ended_ms = time.time_ns() // 1_000_000
    assert lost.run_id is None
    assert len(tracking_spool.waiting(root)) == 12
    assert not [path for path in (tmp_path / "root" / "tracking").rglob("*") if path.name == "model.safetensors"]
    shutil.rmtree(tmp_path / "folder")

    up()
    tracking.Tracker(root, run_name="next").finish()
    assert tracking_spool.waiting(root) == []
    assert not [path for path in (tmp_path / "root" / "tracking").rglob("*") if path.is_file()]
    (run,) = shown(server.uri, "lost")
    assert (run.status, run.params) == ("FINISHED", {"a.b": "1"})
    assert began_ms <= run.times_ms[0] <= (run.times_ms[1] or 0) <= ended_ms
    assert [(step, value) for step, value, _ in run.metrics["loss"]] == [(0, 1.0), (1, 0.5)]
    assert all(began_ms <= at_ms <= ended_ms for _, _, at_ms in run.metrics["loss"])
    assert run.files == {"report.txt", "picture.png", "model/model.safetensors"}
    assert [version.tags["sora_uri"] for version in run.versions] == [f"{root}/lost"]
    assert champion(server.uri) == f"{root}/lost"
    (run,) = shown(server.uri, "other")
    assert (run.status, run.files) == ("RUNNING", {"files/deep/file"})


def test_a_run_that_loses_mlflow_midway_goes_on_as_the_same_run(
    up: Callable[[], MlflowServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    server, root = up(), f"file://{tmp_path}/root"
    tracker = tracking.Tracker(root, run_name="midway")
    run_id = tracker.run_id
    assert run_id is not None
    tracker.log_metrics({"loss": 1.0}, step=1)
    server.pause()
    try:
        started_s = time.monotonic()
        with caplog.at_level(logging.WARNING):
            tracker.log_metrics({"loss": 2.0}, step=2)
            tracker.log_metrics({"loss": 3.0}, step=3)
        assert time.monotonic() - started_s < 15
    finally:
        server.resume()
    assert sum("goes on without it" in record.message for record in caplog.records) == 1
    assert len(tracking_spool.waiting(root)) == 2, "the second is not tried so soon"
    tracker._next_try_s = 0.0  # a minute later
    tracker.log_metrics({"loss": 4.0}, step=4)
    assert tracking_spool.waiting(root) == []
    tracker.finish()
    assert tracker.run_id == run_id
    (run,) = shown(server.uri, "midway")
    assert [step for step, _, _ in run.metrics["loss"]] == [1, 2, 3, 4]
    assert run.status == "FINISHED"


def test_driver_and_worker_land_in_one_run(
    up: Callable[[], MlflowServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = f"file://{tmp_path}/root"
    driver = tracking.Tracker(root, run_name="shared", tags={"sora_job": "train"})
    driver.log_params({"a": 1})
    travelled = TrackedRun(**json.loads(json.dumps(driver.run.__dict__)))
    worker = tracking.Tracker(root, run_name="shared", run=travelled)
    worker.log_metrics({"loss": 1.0}, step=1)
    server = up()
    worker = tracking.Tracker(root, run_name="shared", run=travelled)  # restarted, with MLflow back
    worker.log_metrics({"loss": 2.0}, step=2)
    assert worker.run_id is not None
    driver.uri = server.uri  # the driver's own server came back
    driver.finish()
    (run,) = shown(server.uri, "shared")
    assert (run.status, run.params, driver.run_id) == ("FINISHED", {"a": "1"}, worker.run_id)
    assert [step for step, _, _ in run.metrics["loss"]] == [1, 2]


def test_a_replay_killed_halfway_and_repeated_doubles_nothing(up: Callable[[], MlflowServer], tmp_path: Path) -> None:
    root, kept = f"file://{tmp_path}/root", tmp_path / "root" / "tracking"
    whole_run(root, "killed", num_steps=60)
    shutil.copytree(kept, tmp_path / "copy")
    num_kept = len(tracking_spool.waiting(root))
    server = up()
    replaying = subprocess.Popen([sys.executable, "-c", REPLAY, root], stdout=subprocess.DEVNULL)
    while len(tracking_spool.waiting(root)) > num_kept - 20 and replaying.poll() is None:
        time.sleep(0.002)
    replaying.kill()
    replaying.wait()
    num_left = len(tracking_spool.waiting(root))
    assert 0 < num_left < num_kept, "killed halfway"
    assert tracking.replay(root) == 0, "the claim of the dead still holds"
    assert len(tracking_spool.waiting(root)) == num_left
    for claim in (kept / "claims").iterdir():
        os.utime(claim, (1, 1))  # long ago
    shutil.copytree(tmp_path / "copy", kept, dirs_exist_ok=True)  # the worst death: told, and nothing deleted
    assert tracking.replay(root) == num_kept
    (run,) = shown(server.uri, "killed")
    assert [step for step, _, _ in run.metrics["loss"]] == list(range(60))
    assert (len(run.versions), run.status) == (1, "FINISHED")
    assert tracking_spool.waiting(root) == []


def test_two_processes_that_replay_at_once_double_nothing(up: Callable[[], MlflowServer], tmp_path: Path) -> None:
    root = f"file://{tmp_path}/root"
    whole_run(root, "raced")
    server = up()
    racing = subprocess.Popen([sys.executable, "-c", REPLAY, root], stdout=subprocess.PIPE, text=True)
    told = 0
    while racing.poll() is None:
        told += tracking.replay(root)
    told += int(racing.communicate()[0].splitlines()[-1])
    assert (told, tracking_spool.waiting(root)) == (10, [])
    (run,) = shown(server.uri, "raced")
    assert (len(run.versions), len(run.metrics["loss"]), run.status) == (1, 2, "FINISHED")


def test_an_old_champion_does_not_come_back(
    up: Callable[[], MlflowServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = f"file://{tmp_path}/old", f"file://{tmp_path}/new"
    whole_run(old, "early")
    server = up()
    whole_run(new, "late")
    assert champion(server.uri) == f"{new}/late"
    assert tracking.replay(old) == 10
    assert champion(server.uri) == f"{new}/late"
    assert [len(run.versions) for run in shown(server.uri, "early")] == [1]


def test_what_mlflow_refuses_is_named_and_holds_nothing_up(
    up: Callable[[], MlflowServer], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = f"file://{tmp_path}/root"
    kept = tracking.Tracker(root, run_name="refused")
    kept.log_params({"what?": 1})
    kept.finish()
    server = up()
    with caplog.at_level(logging.WARNING):
        tracking.Tracker(root, run_name="next").log_params({"what?": 1})
    assert sum("refuses params" in record.message for record in caplog.records) == 2
    assert tracking_spool.waiting(root) == []
    assert [run.status for run in shown(server.uri, "refused")] == ["FINISHED"]


def test_an_unknown_run_waits_for_the_mlflow_that_has_it(up: Callable[[], MlflowServer], tmp_path: Path) -> None:
    root = f"file://{tmp_path}/root"
    up()
    run = TrackedRun("2" * 32, "elsewhere", {}, 1_000, run_id="3" * 32)
    worker = tracking.Tracker(root, run_name="elsewhere", run=run)
    worker.log_metrics({"loss": 1.0})
    assert tracking.replay(root) == 0
    assert len(tracking_spool.waiting(root)) == 2


def test_the_operator_sees_what_waits_and_maintain_tells_it(
    up: Callable[[], MlflowServer], tmp_path: Path, sora: Sora
) -> None:
    root = f"file://{tmp_path}/root"
    tables.create_missing(root)
    assert "tracking" not in sora("status", "--root", root).out
    tracking.Tracker(root, run_name="maintained").finish()
    assert "2 tracking entries wait for MLflow" in sora("status", "--root", root).out
    assert "0 entries told to MLflow, 2 wait" in sora("maintain", "--root", root).out
    server = up()
    assert sora("maintain", "--root", root, "--json").json["tracking"] == {"replayed": 2, "waiting": 0}
    assert sora("status", "--root", root, "--json").json["tracking_waiting"] == 0
    assert [run.status for run in shown(server.uri, "maintained")] == ["FINISHED"]
