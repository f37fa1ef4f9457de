"""Runs, metrics, pictures, the registered model and its alias in MLflow, at once or later.

Tracking observes: where MLflow is down, a job goes on, and what it would have logged is kept under the root
(`tracking_spool`) and told to MLflow by whoever meets it there first: this job, the next one, or `sora maintain`.
"""

import hashlib
import http.client
import logging
import math
import os
import ssl
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pipeline import storage
from pipeline.errors import CheckpointError
from pipeline.tracking_client import (
    CHAMPION as CHAMPION,
    MODEL_ARTIFACTS,
    TrackingClient,
    UnknownRunError,
    version_tags,
)
from pipeline.tracking_spool import Entry, Kind, Outcome, Spool, TrackedRun, drain, folder_of, spool_id_of, waiting

_PROBE_S = 3.0
_RETRY_S = 60.0
_RETRY_SHARE = 10  # after an attempt of n seconds the next one waits 10 n: trying takes a tenth of a job at most
_REPLAY_S = 5.0  # what a job that still works gives to a replay at a time
_LAST_REPLAY_S = 30.0  # what it gives at its end
_log = logging.getLogger(__name__)


class Tracker:
    """One MLflow run. No method raises, and none waits long: what MLflow cannot be told now is kept under the root.

    While entries are kept, MLflow is tried again at most once a minute, by the call that comes next. At the end of the
    run, whatever waits on this root, from other processes too, is told before the end is.

    Args:
        root: The root the run works on; decides the embedded tracking database.
        run_name: Name shown in MLflow.
        run: The run to continue, from another Tracker's `run`; None starts a new one.
        tags: Tags of a new run.
    """

    def __init__(
        self, root: str, *, run_name: str, run: TrackedRun | None = None, tags: Mapping[str, str] | None = None
    ):
        self._root = storage.normalize(root)
        self.uri = tracking_uri(self._root)
        self.run = run or TrackedRun(uuid.uuid4().hex, run_name, dict(tags or {}), _now_ms())
        self._is_new = run is None
        self._spool = Spool(self._root)
        self._client: TrackingClient | None = None  # None while MLflow is down, or older entries wait
        self._next_try_s = -math.inf
        self._reason: object = None
        self._warned: set[str] = set()
        self._tell("start", {})

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run; None until MLflow could be reached."""
        return self.run.run_id

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log the configuration, flattened to `a.b.c` names."""
        self._tell("params", {"values": {name: str(value)[:6000] for name, value in flattened(params).items()}})

    def log_metrics(self, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Log all metrics of a step in one request."""
        self._tell("metrics", {"values": {name: float(value) for name, value in metrics.items()}, "step": step})

    def log_text(self, text: str, name: str) -> None:
        """Log a text as an artifact."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(name).name
            path.write_text(text)
            self._tell("files", {"files": {name: f"file://{path}"}})

    def log_figure(self, figure: Any, name: str) -> None:
        """Log a matplotlib figure as a picture."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(name).name
            figure.savefig(path)
            self._tell("files", {"files": {name: f"file://{path}"}})

    def log_folder(self, folder: Path, name: str) -> None:
        """Log a folder's files as artifacts."""
        paths = sorted(path for path in folder.absolute().rglob("*") if path.is_file())
        files = {f"{name}/{path.relative_to(folder.absolute()).as_posix()}": f"file://{path}" for path in paths}
        self._tell("files", {"files": files})

    def register_model(self, files: Sequence[str], *, tags: Mapping[str, str]) -> None:
        """Log a checkpoint and register it as a version of the model; the same tags in the same run are one version.

        Args:
            files: URIs of the checkpoint's files. Those under the root are not copied while MLflow is down.
            tags: Tags of the version, `sora_uri` among them.
        """
        self._tell("files", {"files": {f"{MODEL_ARTIFACTS}/{uri.rpartition('/')[2]}": uri for uri in files}})
        self._tell("model", {"tags": dict(tags)})

    def set_champion(self, tags: Mapping[str, str]) -> None:
        """Point the alias `champion` at the version that this run registered with these tags."""
        self._tell("champion", {"tags": dict(tags)})

    def finish(self, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED") -> None:
        """End the run."""
        self._come_up(limit_s=_LAST_REPLAY_S)
        self._tell("end", {"status": status})

    def _tell(self, kind: Kind, fields: dict[str, Any]) -> None:
        entry = Entry(self.run, kind, _now_ms(), fields)
        if self._client is None and time.monotonic() > self._next_try_s:
            self._come_up(limit_s=_REPLAY_S)
        if self._client is not None:
            try:
                # Only a replay makes a run that others know of, since there is one replay at a time.
                run_id = self._client.tell(entry, may_create=self._is_new and kind == "start")
                self.run = replace(self.run, run_id=run_id)
                return
            except Exception as e:  # noqa: BLE001  MLflow raises anything; an observer must not stop what it observes
                self._go_down(e)
        self._keep(entry)

    def _come_up(self, *, limit_s: float) -> None:
        """Talk to MLflow directly from here on, where it answers and nothing older of this run waits."""
        started_s = time.monotonic()
        try:
            replay(self._root, limit_s=limit_s)
            if self._client is None and not answers(self.uri):
                self._go_down("it does not answer", after_s=time.monotonic() - started_s)
            elif any(spool_id_of(uri) == self.run.spool_id for uri in waiting(self._root)):
                self._go_down("earlier entries wait", after_s=time.monotonic() - started_s)
            else:
                self._client = self._client or _client(self._root)
        except Exception as e:  # noqa: BLE001  as above
            self._go_down(e, after_s=time.monotonic() - started_s)

    def _go_down(self, reason: object, *, after_s: float = 0.0) -> None:
        self._client, self._reason = None, reason
        self._next_try_s = time.monotonic() + max(_RETRY_S, _RETRY_SHARE * after_s)

    def _keep(self, entry: Entry) -> None:
        where = f"{self.uri}, {folder_of(self._root)}"
        try:
            self._spool.keep(entry)
            self._warn_once("MLflow cannot be told; the job goes on without it, and what it logs is kept", where)
        except Exception as e:  # noqa: BLE001  as above
            self._reason = e
            self._warn_once("What MLflow cannot be told could not be kept either, and is lost", where)

    def _warn_once(self, what: str, where: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            _log.warning("%s. where: %s got: %s", what, where, self._reason)


def replay(root: str, *, limit_s: float = math.inf) -> int:
    """Tell MLflow what waits on a root, with the times at which it happened.

    A run, a metric, a file and a model version are there once, however often a replay is cut short and repeated; see
    `tracking_spool.drain` for two at the same time. MLflow is imported only where something waits and MLflow answers.

    Args:
        root: The root.
        limit_s: No entry is begun after this many seconds.
    Returns:
        How many entries were told.
    Raises:
        OSError: the root's store does not answer.
    """
    root = storage.normalize(root)
    uri = tracking_uri(root)
    if not waiting(root) or not answers(uri):
        return 0
    try:
        client = _client(root)
    except Exception as e:  # noqa: BLE001  MLflow raises anything, of a database of another version for one
        _log.warning("MLflow cannot be opened; what it was not told still waits. where: %s got: %s", uri, e)
        return 0

    def tell(entry: Entry) -> Outcome:
        try:
            client.tell(entry, may_create=True)
            return "told"
        except UnknownRunError as e:  # another machine's database has it
            _log.info("Kept for the MLflow that has the run. where: %s got: %s", uri, e)
            return "later"
        except Exception as e:  # noqa: BLE001  MLflow raises anything; the entry stays, so nothing is lost
            _log.warning("MLflow could not be told of %s now. where: %s got: %s", entry.run.name, uri, e)
            return "later" if answers(uri) else "stop"

    return drain(root, tell, limit_s=limit_s)


def answers(uri: str) -> bool:
    """Whether MLflow's server answers within seconds; other places, databases above all, are taken to."""
    if not uri.startswith(("http://", "https://")):
        return True
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_PROBE_S).close()
    except urllib.error.HTTPError as e:
        return e.code < 500  # a refusal is an answer; 502 to 504 are what a proxy says of a dead server
    except urllib.error.URLError as e:
        return isinstance(e.reason, ssl.SSLError)  # MLflow has certificate settings of its own
    except (OSError, http.client.HTTPException):
        return False
    return True


def tracking_uri(root: str) -> str:
    """`MLFLOW_TRACKING_URI`, or an SQLite file: in a local root, or else in the user's data folder."""
    given = os.environ.get("MLFLOW_TRACKING_URI")
    if given:
        return given
    return f"sqlite:///{_embedded_folder(root) / 'mlflow.db'}"


def registered_folder(root: str, reference: str) -> str:
    """The checkpoint folder behind `models:/NAME@ALIAS` or `models:/NAME/VERSION`.

    Raises:
        CheckpointError: MLflow has no such model, or cannot be reached.
    """
    uri = tracking_uri(root)
    try:
        return str(version_tags(uri, reference)["sora_uri"])
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


def _client(root: str) -> TrackingClient:
    artifacts = None
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        artifacts = (_embedded_folder(root) / "mlflow-artifacts").as_uri()
    return TrackingClient(tracking_uri(root), artifacts=artifacts)


def _embedded_folder(root: str) -> Path:
    if storage.is_local(root):
        folder = storage.local_path(root)
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
        folder = data / "sora" / hashlib.blake2b(root.encode(), digest_size=6).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
