"""What was measured while a model was trained: from MLflow, or from what MLflow was not told yet."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import storage, tracking, tracking_client, tracking_spool

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
    kept = _waiting(root, run_id)
    if kept:
        return Curves(kept, "kept under the root until MLflow can be told")
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


def _waiting(root: str, run_id: str | None) -> dict[str, list[tuple[int, float]]]:
    """The metrics that wait: of the run, or of the newest training where it has no id."""
    entries = [tracking_spool.read_entry(uri) for uri in tracking_spool.waiting(root)]
    told = [entry for entry in entries if entry.kind == "metrics" and entry.run.tags.get("sora_job") == "train"]
    told = [entry for entry in told if entry.run.run_id == run_id]
    newest = max((entry.run.started_ms for entry in told), default=0)
    found: dict[str, dict[int, float]] = {}
    for entry in told:
        if entry.run.started_ms == newest:
            for name, value in entry.fields["values"].items():
                found.setdefault(name, {})[int(entry.fields["step"])] = float(value)
    return {name: sorted(of_step.items()) for name, of_step in found.items()}
