"""Make a model the champion, where its evaluation does not speak against it."""

import json
from dataclasses import dataclass

from pipeline import registry, storage, tracking
from pipeline.errors import ConfigError
from pipeline.evaluate import record
from pipeline.evaluate.comparison import reason_against, require_comparable
from pipeline.tracking_spool import TrackedRun


@dataclass(frozen=True)
class Promotion:
    """Who is champion now, and who was; None: nobody."""

    champion: str
    before: str | None


def promote(root: str, version: str) -> Promotion:
    """Move the champion to a version, in the root and in MLflow.

    Raises:
        CheckpointError: the root has no such version.
        ConfigError: it, or the champion, has no evaluation; or it is worse than the champion by more than chance.
    """
    root = storage.normalize(root)
    model = registry.resolve(root, version)
    candidate = record.read(root, model.version)
    found = registry.find(root)
    before = found.version if found else None
    if before == model.version:
        return Promotion(before, before)
    if before is not None:
        champion = record.read(root, before)
        require_comparable(champion, candidate)
        reason = reason_against(champion, candidate)
        if reason is not None:
            expected = "a mean that is not below the champion's interval"
            cure = f"keep champion {before}, or train another model"
            what = "The model is worse than the champion, by more than chance."
            raise ConfigError(what, where=f"model {model.version}", got=reason, expected=expected, cure=cure)
    registry.promote(root, model.version)
    _tell(root, model)
    return Promotion(model.version, before)


def _tell(root: str, model: registry.ModelReference) -> None:
    """Move MLflow's alias too, by the run that registered the version; models from elsewhere have none there."""
    fs, path = storage.filesystem(storage.join(root, "models", "runs"))
    for found in fs.glob(f"{path}/*.finished.json"):
        finished = json.loads(fs.cat_file(found))
        memory = storage.join(root, "models", "runs", f"{finished['run_name']}.tracking.json")
        if str(finished.get("model_version")) != model.version or not storage.exists(memory):
            continue
        run = TrackedRun(**json.loads(storage.read_bytes(memory)))
        tracker = tracking.Tracker(root, run_name=run.name, run=run)
        tags = {"sora_uri": model.uri, "sora_version": model.version, "sora_digest": model.digest}
        tracker.set_champion(tags)
        tracker.finish()
        return
