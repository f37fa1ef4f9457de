"""MLflow, and the only module that imports it: runs, metrics, pictures, the registered model and its alias.

Tracking observes: where MLflow is down, a job warns once and goes on without it.
"""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pipeline import storage
from pipeline.errors import CheckpointError
from pipeline.s3_client import S3Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")
EXPERIMENT = "sora"
REGISTERED_MODEL = "sora"
CHAMPION = "champion"
_MODEL_ARTIFACTS = "model"
_log = logging.getLogger(__name__)


def tracking_uri(root: str) -> str:
    """`MLFLOW_TRACKING_URI`, or an SQLite file: in a local root, or else in the user's data folder."""
    given = os.environ.get("MLFLOW_TRACKING_URI")
    if given:
        return given
    return f"sqlite:///{_embedded_folder(root) / 'mlflow.db'}"


class Tracker:
    """One MLflow run. Every method returns at once, without effect, after MLflow could not be reached.

    Args:
        root: The root the run works on; decides the embedded tracking database.
        run_name: Name shown in MLflow.
        run_id: The run to continue; None starts a new one.
        tags: Tags of a new run.
    """

    def __init__(self, root: str, *, run_name: str, run_id: str | None = None, tags: Mapping[str, str] | None = None):
        self.uri = tracking_uri(root)
        self.run_id: str | None = run_id
        self._is_up = True
        self._client: MlflowClient | None = None
        self._attempt("reach MLflow", lambda: self._open(root, run_name, dict(tags or {})))

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log the configuration, flattened to `a.b.c` names."""
        from mlflow.entities import Param

        flat = [Param(name, str(value)[:6000]) for name, value in flattened(params).items()]
        self._with_run("log parameters", lambda client, run_id: client.log_batch(run_id, params=flat))

    def log_metrics(self, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Log all metrics of a step in one request."""
        from mlflow.entities import Metric

        now_ms = time.time_ns() // 1_000_000
        batch = [Metric(name, float(value), now_ms, step) for name, value in metrics.items()]
        self._with_run("log metrics", lambda client, run_id: client.log_batch(run_id, metrics=batch))

    def log_text(self, text: str, name: str) -> None:
        """Log a text as an artifact."""
        self._with_run("log a text", lambda client, run_id: client.log_text(run_id, text, name))

    def log_figure(self, figure: Any, name: str) -> None:
        """Log a matplotlib figure as a picture."""
        self._with_run("log a picture", lambda client, run_id: client.log_figure(run_id, figure, name))

    def log_folder(self, folder: Path, name: str) -> None:
        """Log a folder's files as artifacts."""
        self._with_run("log files", lambda client, run_id: client.log_artifacts(run_id, str(folder), name))

    def register_model(self, folder: Path, *, tags: Mapping[str, str]) -> str | None:
        """Log a checkpoint folder and register it as the next version of the model; returns that version."""
        self.log_folder(folder, _MODEL_ARTIFACTS)
        return self._with_run("register the model", lambda client, run_id: _register(client, run_id, tags))

    def set_champion(self, version: str) -> None:
        """Point the alias `champion` at a version of the registered model."""
        self._with_run(
            "set the alias",
            lambda client, _: client.set_registered_model_alias(REGISTERED_MODEL, CHAMPION, version),
        )

    def finish(self, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED") -> None:
        """End the run."""
        self._with_run("end the run", lambda client, run_id: client.set_terminated(run_id, status))

    def _open(self, root: str, run_name: str, tags: dict[str, str]) -> None:
        self._client = _client(self.uri)
        if self.run_id is None:
            experiment_id = _experiment_id(self._client, root)
            self.run_id = self._client.create_run(experiment_id, run_name=run_name, tags=tags).info.run_id
        else:
            self._client.update_run(self.run_id, status="RUNNING")

    def _with_run(self, what: str, call: "Callable[[MlflowClient, str], T]") -> T | None:
        client, run_id = self._client, self.run_id
        if client is None or run_id is None:
            return None
        return self._attempt(what, lambda: call(client, run_id))

    def _attempt(self, what: str, call: Callable[[], T]) -> T | None:
        if not self._is_up:
            return None
        try:
            return call()
        except Exception as e:  # noqa: BLE001  MLflow raises anything; an observer must not stop the job it observes
            self._is_up = False
            _log.warning("MLflow could not %s; the job goes on without it. where: %s got: %s", what, self.uri, e)
            return None


def registered_folder(root: str, reference: str) -> str:
    """The checkpoint folder behind `models:/NAME@ALIAS` or `models:/NAME/VERSION`.

    Raises:
        CheckpointError: MLflow has no such model, or cannot be reached.
    """
    uri = tracking_uri(root)
    try:
        client = _client(uri)
        name, separator, alias = reference.removeprefix("models:/").partition("@")
        if separator:
            version = client.get_model_version_by_alias(name, alias)
        else:
            version = client.get_model_version(*reference.removeprefix("models:/").split("/", 1))
        return str(version.tags["sora_uri"])
    except Exception as e:  # MLflow raises anything; here the answer is needed, so it becomes our error
        expected = "models:/NAME@ALIAS or models:/NAME/VERSION of a model that `sora train` registered"
        cure = "check the reference and MLFLOW_TRACKING_URI"
        raise CheckpointError(
            "MLflow does not lead to this model.", where=f"{reference} in {uri}", got=e, expected=expected, cure=cure
        ) from e


def flattened(params: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested mappings as one level, names joined with dots."""
    flat: dict[str, object] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat.update(flattened(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _client(uri: str) -> "MlflowClient":
    # The library's defaults (7 retries, 120 s each) would hold a job for a quarter of an hour when the server is down.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # stdout is for answers
    if S3Settings.from_environment().endpoint_url:
        os.environ.setdefault("MLFLOW_S3_ENDPOINT_URL", str(S3Settings.from_environment().endpoint_url))
    from mlflow import MlflowClient

    for name in ("alembic", "mlflow"):  # how the database is migrated is not the user's concern
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _experiment_id(client: "MlflowClient", root: str) -> str:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is not None:
        return str(experiment.experiment_id)
    artifacts = None
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        artifacts = (_embedded_folder(root) / "mlflow-artifacts").as_uri()
    return str(client.create_experiment(EXPERIMENT, artifact_location=artifacts))


def _register(client: "MlflowClient", run_id: str, tags: Mapping[str, str]) -> str:
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(REGISTERED_MODEL)
    except MlflowException:
        client.create_registered_model(REGISTERED_MODEL)
    source = f"{client.get_run(run_id).info.artifact_uri}/{_MODEL_ARTIFACTS}"
    version = client.create_model_version(REGISTERED_MODEL, source, run_id=run_id, tags=dict(tags))
    return str(version.version)


def _embedded_folder(root: str) -> Path:
    if storage.is_local(root):
        folder = storage.local_path(root)
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
        folder = data / "sora" / hashlib.blake2b(root.encode(), digest_size=6).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    return folder
