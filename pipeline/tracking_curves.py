"""What was measured while a model was trained: from MLflow, or from what MLflow was not told yet."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import storage, tracking, tracking_client, tracking_spool
from pipeline.tracking_spool import Entry

_log = logging.getLogger(__name__)
_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Curves:
    """Step and value of each metric by name, and where they come from, in words."""

    values: Mapping[str, Sequence[tuple[int, float]]]
    source: str


def curves(root: str, run_id: str | None) -> Curves:
    """The metrics of a training run.

    Args:
        root: The root's URI.
        run_id: MLflow's id; None: MLflow never gave one.
    Returns:
        Without values where there are none any more; `source` says then why.
    """
    root = storage.normalize(root)
    told, waits = _told(root, run_id), _waiting(root, run_id)
    names = told.values.keys() | waits.keys()
    values = {name: sorted({**dict(told.values.get(name, ())), **waits.get(name, {})}.items()) for name in names}
    kept = "what waits under the root until MLflow can be told"
    source = told.source if not waits else f"{told.source}, and {kept}" if told.values else kept
    return Curves(values, source)


def _told(root: str, run_id: str | None) -> Curves:
    if run_id is None:
        return Curves({}, "MLflow never heard of the training")
    uri = tracking.tracking_uri(root)
    if uri.startswith(_SQLITE) and not Path(uri.removeprefix(_SQLITE)).exists():
        return Curves({}, f"MLflow's database {uri.removeprefix(_SQLITE)} is not on this machine")
    if not tracking.answers(uri):
        return Curves({}, f"MLflow at {uri} does not answer")
    try:
        return Curves(tracking_client.metric_curves(uri, run_id), f"MLflow run {run_id}")
    except Exception as e:  # noqa: BLE001  MLflow raises anything; curves are shown where they can be had
        _log.info("No curves. where: %s got: %s", uri, e)
        return Curves({}, f"MLflow at {uri} has no run {run_id}: {type(e).__name__}")


def _waiting(root: str, run_id: str | None) -> dict[str, dict[int, float]]:
    """Value by step of the metrics that wait: of the run, or of the newest training that has no id yet."""
    told = [entry for entry in _entries(root) if entry.kind == "metrics" and entry.run.run_id == run_id]
    told = [entry for entry in told if entry.run.tags.get("sora_job") == "train"]
    newest = max((entry.run.started_ms for entry in told), default=0)
    found: dict[str, dict[int, float]] = {}
    for entry in told:
        if entry.run.started_ms == newest:
            for name, value in entry.fields["values"].items():
                found.setdefault(name, {})[int(entry.fields["step"])] = float(value)
    return found


def _entries(root: str) -> Iterator[Entry]:
    for uri in tracking_spool.waiting(root):
        with contextlib.suppress(FileNotFoundError):  # it was told since
            yield tracking_spool.read_entry(uri)
