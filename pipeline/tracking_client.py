"""What each kind of tracking entry is in MLflow, and the only module that imports it. Telling twice changes nothing."""

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import storage
from pipeline.s3_client import S3Settings
from pipeline.tracking_spool import Entry, TrackedRun

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

EXPERIMENT = "sora"
REGISTERED_MODEL = "sora"
CHAMPION = "champion"
MODEL_ARTIFACTS = "model"
_SPOOL_TAG = "sora_spool"  # of a run: our id, by which it is found again
_CHAMPION_TAG = "sora_champion_at_ms"  # of the registered model: when the alias was meant to be set
_log = logging.getLogger(__name__)


class UnknownRunError(LookupError):
    """The MLflow that answers does not have the run."""


class TrackingClient:
    """Tells entries to MLflow; remembers which run is which.

    Args:
        uri: MLflow's server or database.
        artifacts: Where a new experiment keeps its files; None leaves it to MLflow.
    """

    def __init__(self, uri: str, *, artifacts: str | None):
        self._client = connect(uri)
        self._artifacts = artifacts
        self._run_ids: dict[str, str] = {}

    def tell(self, entry: Entry, *, may_create: bool) -> str:
        """Tell one entry. What MLflow refuses as wrong is left out with a warning, since it will always refuse it.

        Args:
            entry: What to tell; it may have been told before.
            may_create: Whether to make the run where no run id is known and none has its tag. Only one process may.
        Returns:
            MLflow's id of the run.
        Raises:
            UnknownRunError: the run is not in this MLflow.
            Exception: MLflow or the store of a file does not answer; MLflow raises anything.
        """
        from mlflow.exceptions import MlflowException

        run_id = entry.run.run_id or self._run_ids.get(entry.run.spool_id) or self._run_id(entry.run, may_create)
        self._run_ids[entry.run.spool_id] = run_id
        try:
            self._tell(run_id, entry)
        except MlflowException as e:
            if e.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise UnknownRunError(f"run {run_id} of {entry.run.name}: {e}") from e
            if e.error_code != "INVALID_PARAMETER_VALUE":
                raise
            _log.warning("MLflow refuses %s of run %s, which it will not show: %s", entry.kind, run_id, e)
        return run_id

    def _run_id(self, run: TrackedRun, may_create: bool) -> str:
        from mlflow.entities import ViewType

        experiment_id = self._experiment_id()
        having_it = f"tags.{_SPOOL_TAG} = '{run.spool_id}'"
        found = self._client.search_runs([experiment_id], having_it, run_view_type=ViewType.ALL, max_results=1)
        if found:
            return str(found[0].info.run_id)
        if not may_create:
            raise UnknownRunError(f"run {run.name} was not told yet")
        tags = {**run.tags, _SPOOL_TAG: run.spool_id}
        made = self._client.create_run(experiment_id, start_time=run.started_ms, tags=tags, run_name=run.name)
        return str(made.info.run_id)

    def _experiment_id(self) -> str:
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            return str(experiment.experiment_id)
        return str(self._client.create_experiment(EXPERIMENT, artifact_location=self._artifacts))

    def _tell(self, run_id: str, entry: Entry) -> None:
        from mlflow.entities import Metric, Param

        client, fields = self._client, entry.fields
        match entry.kind:
            case "start":
                client.update_run(run_id, status="RUNNING")
            case "params":
                client.log_batch(run_id, params=[Param(name, value) for name, value in fields["values"].items()])
            case "metrics":  # the same name, value, time and step is one row in MLflow's databases
                step, values = fields["step"], fields["values"].items()
                client.log_batch(run_id, metrics=[Metric(name, value, entry.at_ms, step) for name, value in values])
            case "files":
                for name, source in fields["files"].items():
                    self._log_file(run_id, name, source)
            case "model":
                self._register(run_id, fields["tags"])
            case "champion":
                self._set_champion(run_id, fields["tags"], entry.at_ms)
            case "end":
                client.set_terminated(run_id, fields["status"], end_time=entry.at_ms)

    def _log_file(self, run_id: str, name: str, source: str) -> None:
        folder, _, _ = name.rpartition("/")
        try:
            with _local_file(source) as path:
                self._client.log_artifact(run_id, str(path), folder or None)
        except FileNotFoundError:
            _log.warning("A kept file is gone; it was told before, or somebody removed it. where: %s", source)

    def _register(self, run_id: str, tags: Mapping[str, str]) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.get_registered_model(REGISTERED_MODEL)
        except MlflowException:
            self._client.create_registered_model(REGISTERED_MODEL)
        if self._version(run_id, tags) is None:
            source = f"{self._client.get_run(run_id).info.artifact_uri}/{MODEL_ARTIFACTS}"
            self._client.create_model_version(REGISTERED_MODEL, source, run_id=run_id, tags=dict(tags))

    def _version(self, run_id: str, tags: Mapping[str, str]) -> "ModelVersion | None":
        """The newest version that this run registered with these tags."""
        of_run = self._client.search_model_versions(f"name = '{REGISTERED_MODEL}' and run_id = '{run_id}'")
        same = [version for version in of_run if tags.items() <= version.tags.items()]
        return max(same, key=lambda version: int(version.version), default=None)

    def _set_champion(self, run_id: str, tags: Mapping[str, str], at_ms: int) -> None:
        """Set the alias, unless it was set to something else since: a replay must not bring an old champion back."""
        version = self._version(run_id, tags)
        if version is None:
            _log.warning(
                "MLflow has no such model, so it is not the champion there. where: run %s got: %s", run_id, tags
            )
            return
        set_at_ms = int(self._client.get_registered_model(REGISTERED_MODEL).tags.get(_CHAMPION_TAG, 0))
        if set_at_ms > at_ms:
            return
        self._client.set_registered_model_alias(REGISTERED_MODEL, CHAMPION, version.version)
        self._client.set_registered_model_tag(REGISTERED_MODEL, _CHAMPION_TAG, str(at_ms))


def connect(uri: str) -> "MlflowClient":
    """MLflow's own client, with our settings; the first call of a process imports it, which takes seconds."""
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


def version_tags(uri: str, reference: str) -> Mapping[str, Any]:
    """The tags of a registered version, `models:/NAME@ALIAS` or `models:/NAME/VERSION`.

    Raises:
        Exception: MLflow has no such model, or does not answer.
    """
    client = connect(uri)
    name, separator, alias = reference.removeprefix("models:/").partition("@")
    if separator:
        return dict(client.get_model_version_by_alias(name, alias).tags)
    return dict(client.get_model_version(*reference.removeprefix("models:/").split("/", 1)).tags)


@contextmanager
def _local_file(source: str) -> Iterator[Path]:
    """The file itself, or a copy of the same name for the time being."""
    if storage.is_local(source):
        path = storage.local_path(source)
        path.stat()  # raises FileNotFoundError, as the store does
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / source.rpartition("/")[2]
        path.write_bytes(storage.read_bytes(source))
        yield path


def metric_curves(uri: str, run_id: str) -> dict[str, list[tuple[int, float]]]:
    """Step and value of every metric of a run, by name, in the order of the steps.

    Raises:
        Exception: MLflow has no such run, or does not answer.
    """
    client = connect(uri)
    histories = {name: client.get_metric_history(run_id, name) for name in client.get_run(run_id).data.metrics}
    return {name: sorted((one.step, float(one.value)) for one in history) for name, history in histories.items()}
