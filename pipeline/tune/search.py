"""The driver of a search: videos -> clips in memory, shared -> trials under Ray Tune's ASHA -> a table, the best.

Each trial holds one CPU, or one GPU where there are any, and reads the same clips in Ray's object store.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import ray
import ray.data
import torch
import yaml
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from pipeline import runs, schema, storage, tracking
from pipeline.decode.clips import clip_dataset
from pipeline.errors import ConfigError, CorpusError
from pipeline.progress import Progress, Watcher
from pipeline.train import trainer
from pipeline.train.clip_table import ClipTable
from pipeline.train.config import TrainConfig
from pipeline.train.job import TrainJob
from pipeline.train.selection import Selection, group_of
from pipeline.tune.job import Metric, TuneJob
from pipeline.tune.scores import HIGHER_IS_BETTER, metric_of
from pipeline.tune.space import rungs, setting_of
from pipeline.tune.trials import Scored, Task, best_of, run_trial

REDUCTION = 3  # one of three goes on at each rung; 3 to 4 in Li et al. 2020
_MAX_FAILURES = 2  # times that a trial whose worker died begins again


@dataclass(frozen=True)
class TuneResult:
    """A finished search.

    Args:
        name: Of the search, a function of its options and videos.
        metric: What trials were scored by.
        trials: All of them, the best first.
        options_uri: The best settings, as `sora train --options` takes them.
    """

    name: str
    metric: Metric
    trials: Sequence[Scored]
    options_uri: str
    mlflow_run_id: str | None


def plan(job: TuneJob) -> Selection:
    """The videos of the search.

    Raises:
        ConfigError: an option is wrong, or there is nothing to learn from or to score on.
        TableError: the root has no tables.
    """
    selection = trainer.plan(_as_training(job))
    metric_of(job, selection)
    return selection


def search_name(job: TuneJob, selection: Selection) -> str:
    """A name that follows from the options and the videos."""
    options = json.dumps({**asdict(job), "root": None}, sort_keys=True)
    return f"tune-{schema.run_key(options, selection.digest())[:8]}"


def search(job: TuneJob, selection: Selection, *, connect: Callable[[], None], watcher: Watcher) -> TuneResult:
    """Run all trials, and write what was found below <root>/tuning/<name>.

    Args:
        job: The search.
        selection: From `plan`; whatever a split column holds out is not in it.
        connect: Starts or joins Ray.
        watcher: Told of each score.
    Raises:
        ConfigError: the clips do not fit the object store.
        CorpusError: not one clip could be decoded.
        SoraError: every trial diverged.
    """
    root, name, metric = storage.normalize(job.root), search_name(job, selection), metric_of(job, selection)
    storage.require_store(root)
    connect()
    tracker = tracking.Tracker(root, run_name=name, tags={"sora_job": "tune", "sora_root": root})
    tracker.log_params({**json.loads(runs.as_json(job)), "metric_used": metric})
    task = Task(
        train=replace(job.train, epochs=job.max_epochs),
        sampling=job.sampling,
        num_classes=len(selection.labels),
        groups={s.video_id: group_of(s, job.group_column) for s in (*selection.train, *selection.validation)},
        metric=metric,
        rungs=rungs(job.max_epochs, reduction=REDUCTION),
    )
    folder = storage.join(root, "tuning", name)
    try:
        trials = _run(job, task, _clips(job, selection, watcher), folder, watcher)
        best = best_of(trials, metric)
    except BaseException:  # told to MLflow and raised again
        tracker.finish("FAILED")
        raise
    ordered = [best, *sorted((t for t in trials if t is not best), key=lambda t: _rank(t, metric))]
    options = yaml.safe_dump(best_options(job, best), sort_keys=False)
    found = {"name": name, "metric": metric, "trials": [row_of(trial) for trial in ordered]}
    storage.put(storage.join(folder, "best.yaml"), options.encode())
    storage.put(storage.join(folder, "trials.json"), json.dumps(found, indent=2).encode())
    tracker.log_text(options, "best.yaml")
    tracker.log_text(json.dumps(found, indent=2), "trials.json")
    tracker.log_metrics({f"best_{metric}": best.score, "trials": float(len(trials))})
    tracker.finish()
    return TuneResult(name, metric, ordered, storage.join(folder, "best.yaml"), tracker.run_id)


def best_options(job: TuneJob, best: Scored) -> dict[str, Any]:
    """Every option of the training that the best trial was, whatever later defaults may be."""
    config = replace(job.train, epochs=job.max_epochs, **best.setting)  # type: ignore[arg-type]
    options = {f.name: getattr(config, f.name) for f in fields(TrainConfig)}
    options |= {f.name: getattr(job.sampling, f.name) for f in fields(job.sampling)}
    options |= {"group_column": job.group_column, "split_column": job.split_column}
    return {name: value for name, value in options.items() if value is not None}


def row_of(trial: Scored) -> dict[str, Any]:
    """A trial as JSON has it."""
    value = None if math.isnan(trial.score) else trial.score
    scores = {str(epoch): found for epoch, found in trial.scores.items()}
    row = {"trial": trial.number, "score": value, "epochs": trial.epoch, "elapsed_s": round(trial.elapsed_s, 1)}
    return {**row, "setting": dict(trial.setting), "scores": scores, "error": trial.error}


def _rank(trial: Scored, metric: Metric) -> tuple[int, float, int]:
    """Furthest first, then best first; those without a score last."""
    if math.isnan(trial.score):
        return (1, 0.0, trial.number)
    return (-trial.epoch, -trial.score if HIGHER_IS_BETTER[metric] else trial.score, trial.number)


def _as_training(job: TuneJob) -> TrainJob:
    columns = {"group_column": job.group_column, "split_column": job.split_column}
    return TrainJob(job.root, None, **columns, train=job.train, sampling=job.sampling)  # type: ignore[arg-type]


def _clips(job: TuneJob, selection: Selection, watcher: Watcher) -> list[list[Any]]:
    """References to the decoded clips of both sides, in Ray's object store."""
    resources = trainer.resources_of(
        _as_training(replace(job, train=replace(job.train, num_workers=1, min_workers=0))), selection
    )
    if not resources.is_cached:
        cure = "choose fewer videos with --split-column, a smaller --size-px or a longer --stride-s"
        raise ConfigError("The clips do not fit half of Ray's object store.", where=job.root, cure=cure)
    watcher.note(f"decoding {len(selection.train) + len(selection.validation)} videos into memory")
    sides: list[list[Any]] = []
    for side in ("train", "validation"):
        clips = clip_dataset(selection.rows(side), job.sampling, num_actors=resources.num_decoders).materialize()
        if clips.count() == 0:
            cure = "`sora extract` writes the reasons into `failures`"
            raise CorpusError(f"Not one {side} video could be decoded.", where=job.root, cure=cure)
        sides.append(clips.to_arrow_refs())
    return sides


def _run(job: TuneJob, task: Task, sides: list[list[Any]], folder: str, watcher: Watcher) -> list[Scored]:
    use_gpu = ray.cluster_resources().get("GPU", 0) >= 1
    trainable = tune.with_parameters(_trial, task=task, sides=sides)
    scheduler = ASHAScheduler(
        time_attr="epoch", max_t=job.max_epochs, grace_period=1, reduction_factor=REDUCTION, stop_last_trials=False
    )
    filesystem, path = storage.arrow_filesystem(folder)
    numbered = [{"number": n, "setting": setting_of(job.space, n, seed=job.train.seed)} for n in range(job.trials)]
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1, "gpu": 1 if use_gpu else 0}),
        param_space={"trial": tune.grid_search(numbered)},
        tune_config=tune.TuneConfig(
            metric="score", mode="max" if HIGHER_IS_BETTER[task.metric] else "min", scheduler=scheduler
        ),
        run_config=tune.RunConfig(
            name="ray",
            storage_path=path,
            storage_filesystem=filesystem,
            failure_config=tune.FailureConfig(max_failures=_MAX_FAILURES),
            callbacks=[_Teller(watcher, job.trials, task.metric)],
            verbose=0,
        ),
    )
    return [_scored(result, numbered) for result in tuner.fit()]


def _trial(config: dict[str, Any], task: Task, sides: list[list[Any]]) -> None:
    """What Ray runs for each trial."""
    train, validation = (ClipTable(ray.get(blocks), task.sampling) for blocks in sides)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)
    number, setting = config["trial"]["number"], config["trial"]["setting"]
    for reached in run_trial(number, setting, task, train, validation, device):
        tune.report({"epoch": reached.epoch, "score": reached.score, "reached": asdict(reached)})


def _scored(result: Any, numbered: Sequence[dict[str, Any]]) -> Scored:
    """What a trial has told last; one whose worker kept dying has told nothing."""
    reached = (result.metrics or {}).get("reached")
    if reached is None:
        given = result.config["trial"] if result.config else numbered[0]
        return Scored(given["number"], given["setting"], error=str(result.error))
    return Scored(**reached)


class _Teller(tune.Callback):  # type: ignore[misc]  # Ray's classes are untyped
    """Tells the watcher of scores and of trials that are over."""

    def __init__(self, watcher: Watcher, num_trials: int, metric: Metric):
        self._watcher, self._num_trials, self._metric = watcher, num_trials, metric
        self._num_over = self._num_failed = 0

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **_: Any) -> None:
        reached = result["reached"]
        told = f"{self._metric} {result['score']:.4f}" if reached["error"] is None else "diverged"
        self._watcher.note(f"trial {reached['number']}, epoch {result['epoch']}: {told}")

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        self._num_over += 1
        self._tell()

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        self._num_over, self._num_failed = self._num_over + 1, self._num_failed + 1
        self._tell()

    def _tell(self) -> None:
        self._watcher.on_progress(
            Progress("tune", self._num_over, self._num_trials, num_failures=self._num_failed, unit="trials")
        )

    def __getstate__(self) -> dict[str, Any]:
        """Ray keeps the state of its callbacks in a file; ours has none to keep."""
        return {}
