"""The driver of a training run: videos -> Ray Data plan -> TorchTrainer -> a published, registered champion.

catalog --select--> train | validation --clip_dataset--> clips --TorchTrainer--> checkpoints --publish--> model n
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
import ray.train
import ray.train.torch

from pipeline import registry, runs, schema, storage, tracking
from pipeline.decode.clips import clip_dataset
from pipeline.decode.sampling import SamplingConfig, num_clips
from pipeline.errors import CorpusError
from pipeline.model.checkpoint import DESCRIPTION, WEIGHTS
from pipeline.progress import Watcher
from pipeline.tracking_spool import TrackedRun
from pipeline.train.board import beside_driver, watched
from pipeline.train.job import TrainJob
from pipeline.train.loop import REPORT_FILE, LoopConfig, train_loop
from pipeline.train.resources import Resources, share
from pipeline.train.seen import ClipPlaces, SeenBoard, Stream
from pipeline.train.selection import Sample, Selection, read_samples, select

_KEPT_CHECKPOINTS = 2
_ASSUMED_DURATION_S = 10.0


@dataclass(frozen=True)
class TrainResult:
    """A finished run; `was_finished` where it had been before and nothing was done."""

    run_name: str
    model_version: str
    model_uri: str
    model_digest: str
    metrics: dict[str, float]
    report_text: str | None
    mlflow_run_id: str | None
    mlflow_uri: str
    was_finished: bool = False


def plan(job: TrainJob) -> Selection:
    """The videos of the run.

    Raises:
        ConfigError: an option is wrong, or there is nothing to learn from.
        TableError: the root has no tables.
    """
    config = job.train
    return select(
        read_samples(storage.normalize(job.root)),
        validation_fraction=config.validation_fraction,
        seed=config.seed,
        group_column=job.group_column,
        split_column=job.split_column,
    )


def run_name(job: TrainJob, selection: Selection) -> str:
    """The name given, or one that follows from the options and the videos."""
    if job.name:
        return job.name
    options = {**asdict(job), "root": None}
    return f"{job.train.config}-{schema.run_key(json.dumps(options, sort_keys=True), selection.digest())[:8]}"


def train(job: TrainJob, selection: Selection, *, connect: Callable[[], None], watcher: Watcher) -> TrainResult:
    """Train, publish the model, make it the champion.

    Args:
        job: The run.
        selection: From `plan`.
        connect: Starts or joins Ray; not called where the run had finished before.
        watcher: Told in words what happens now, and every few steps how far it is.
    Raises:
        ConfigError: the cluster cannot serve so many workers.
        CorpusError: not one clip of the training videos could be decoded.
    """
    root, name = storage.normalize(job.root), run_name(job, selection)
    finished = _finished(root, name)
    if finished is not None:
        return finished
    storage.require_store(root)
    connect()
    tracker = _tracker(root, name, job, selection)
    try:
        checkpoint = _fit(root, name, job, selection, tracker, watcher)
        result = _publish(root, name, checkpoint, tracker)
    except BaseException:  # told to MLflow and raised again
        tracker.finish("FAILED")
        raise
    tracker.finish()
    return replace(result, mlflow_run_id=tracker.run_id)


def _fit(
    root: str,
    name: str,
    job: TrainJob,
    selection: Selection,
    tracker: tracking.Tracker,
    watcher: Watcher,
) -> ray.train.Checkpoint:
    resources = resources_of(job, selection)
    stream = None if resources.is_cached else _stream(job, selection)
    datasets, num_train_clips = _datasets(job, selection, resources, stream, watcher)
    watcher.note(
        f"training {name}: {num_train_clips} clips of {len(selection.train)} videos, {len(selection.labels)} classes, "
        f"validation on {len(selection.validation)} videos, {job.train.epochs} epochs"
    )
    filesystem, path = storage.arrow_filesystem(storage.join(root, "models", "runs"))
    with watched(watcher) as board:
        loop = LoopConfig(
            root=root,
            run_name=name,
            train=job.train,
            sampling=job.sampling,
            labels=tuple(selection.labels),
            num_train_clips=num_train_clips,
            stream=stream,
            basis=f"{'cached' if stream is None else 'stream'} {selection.digest()} {num_train_clips}",
            tracked_run=tracker.run,
            board=board,
        )
        trainer = ray.train.torch.TorchTrainer(
            train_loop,
            train_loop_config=loop,
            datasets=datasets,
            dataset_config=ray.train.DataConfig(datasets_to_split=[] if resources.is_cached else ["train"]),
            scaling_config=_scaling(job, resources),
            run_config=ray.train.RunConfig(
                name=name,
                storage_path=path,
                storage_filesystem=filesystem,
                failure_config=ray.train.FailureConfig(max_failures=job.train.max_failures),
                checkpoint_config=ray.train.CheckpointConfig(num_to_keep=_KEPT_CHECKPOINTS),
            ),
        )
        result = _fitted(trainer, board)
    assert result.checkpoint is not None, "the loop reports a checkpoint after every epoch"
    return result.checkpoint


def _fitted(trainer: Any, board: Any) -> Any:
    """The result of `fit`; an error of ours as itself, not as Ray's word for a worker that failed."""
    try:
        result = trainer.fit()
    except ray.train.TrainingFailedError as e:
        if (error := ray.get(board.error.remote())) is not None:
            raise error from e
        raise
    if (error := ray.get(board.error.remote())) is not None:
        raise error
    return result


def _scaling(job: TrainJob, resources: Resources) -> ray.train.ScalingConfig:
    asked, least = job.train.num_workers, job.train.least_workers
    per_worker = {"CPU": resources.cpus_per_worker, **({"GPU": 1} if resources.use_gpu else {})}
    return ray.train.ScalingConfig(
        num_workers=asked if least == asked else (least, asked),
        use_gpu=resources.use_gpu,
        resources_per_worker=per_worker,
    )


def _stream(job: TrainJob, selection: Selection) -> Stream:
    counts = {sample.video_id: _expected_clips([sample], job.sampling) for sample in selection.train}
    video_ids = sorted(counts)
    places = ClipPlaces(video_ids, [counts[video_id] for video_id in video_ids])
    return Stream(places, board=beside_driver(SeenBoard, places))


def _datasets(
    job: TrainJob, selection: Selection, resources: Resources, stream: Stream | None, watcher: Watcher
) -> tuple[dict[str, Any], int]:
    seen = None if stream is None else stream.board
    train_clips = clip_dataset(selection.rows("train"), job.sampling, num_actors=resources.num_decoders, seen=seen)
    validation = selection.rows("validation")
    validation_clips = clip_dataset(validation, job.sampling, num_actors=resources.num_decoders)
    if validation.num_rows == 0:
        validation_clips = ray.data.from_arrow(pa.table({"frames": pa.array([], pa.binary())}))
    if stream is not None:
        return {"train": train_clips, "validation": validation_clips}, stream.places.num_clips
    watcher.note(f"decoding {len(selection.train) + len(selection.validation)} videos into memory")
    train_clips, validation_clips = train_clips.materialize(), validation_clips.materialize()
    num_train_clips = train_clips.count()
    if num_train_clips == 0:
        cure = "`sora extract` writes the reasons into `failures`"
        raise CorpusError("Not one training video could be decoded.", where=job.root, cure=cure)
    return {"train": train_clips, "validation": validation_clips}, num_train_clips


def resources_of(job: TrainJob, selection: Selection) -> Resources:
    """How this run shares the cluster; Ray must have been started."""
    sampling = job.sampling
    clip_bytes = sampling.frames_per_clip * sampling.size_px**2 * 3
    there = ray.cluster_resources()
    return share(
        num_cpus=there.get("CPU", 1),
        num_gpus=there.get("GPU", 0),
        object_store_bytes=_smallest_store_bytes(),
        num_workers=job.train.num_workers,
        least_workers=job.train.least_workers,
        clip_bytes=clip_bytes * _expected_clips([*selection.train, *selection.validation], sampling),
    )


def _smallest_store_bytes() -> float:
    """Every machine with a training worker keeps all clips, so they must fit the smallest object store."""
    stores = [node["Resources"].get("object_store_memory", 0) for node in ray.nodes() if node["Alive"]]
    return min((store for store in stores if store > 0), default=0)


def _expected_clips(samples: Sequence[Sample], sampling: SamplingConfig) -> int:
    return sum(num_clips(sampling, min(sample.duration_s or _ASSUMED_DURATION_S, 86_400.0)) for sample in samples)


def _tracker(root: str, name: str, job: TrainJob, selection: Selection) -> tracking.Tracker:
    """The run's MLflow run: the one it began with, where it is resumed."""
    memory = storage.join(root, "models", "runs", f"{name}.tracking.json")
    run = TrackedRun(**json.loads(storage.read_bytes(memory))) if storage.exists(memory) else None
    tracker = tracking.Tracker(root, run_name=name, run=run, tags={"sora_job": "train", "sora_root": root})
    if run is None:
        counts = {"train_videos": len(selection.train), "validation_videos": len(selection.validation)}
        tracker.log_params({**json.loads(runs.as_json(job)), **counts, "num_classes": len(selection.labels)})
        storage.put(memory, json.dumps(asdict(tracker.run)).encode())
    return tracker


def _publish(root: str, name: str, checkpoint: ray.train.Checkpoint, tracker: tracking.Tracker) -> TrainResult:
    with checkpoint.as_directory() as directory:
        folder = Path(directory)
        written = json.loads((folder / REPORT_FILE).read_text())
        model = registry.publish(root, folder)
        if "text" in written:
            tracker.log_text(written["text"], "classification_report.txt")
            tracker.log_text(json.dumps(written["classes"], indent=2), "classification_report.json")
    tags = {"sora_uri": model.uri, "sora_version": model.version, "sora_digest": model.digest}
    tracker.register_model([storage.join(model.uri, file) for file in (WEIGHTS, DESCRIPTION)], tags=tags)
    registry.promote(root, model.version)
    tracker.set_champion(tags)
    numbers = {key: value for key, value in written["metrics"].items() if isinstance(value, (int, float))}
    result = TrainResult(
        name, model.version, model.uri, model.digest, numbers, written.get("text"), tracker.run_id, tracker.uri
    )
    storage.put(_finished_uri(root, name), json.dumps(asdict(result)).encode())
    return result


def _finished(root: str, name: str) -> TrainResult | None:
    uri = _finished_uri(root, name)
    if not storage.exists(uri):
        return None
    return TrainResult(**{**json.loads(storage.read_bytes(uri)), "was_finished": True})


def _finished_uri(root: str, name: str) -> str:
    return storage.join(root, "models", "runs", f"{name}.finished.json")


def record_counts(result: TrainResult, selection: Selection) -> dict[str, int]:
    """What the `runs` table says of a training run."""
    return {
        "train_videos": len(selection.train),
        "validation_videos": len(selection.validation),
        "held_out_videos": selection.num_held_out,
        "epochs": int(result.metrics.get("epoch", 0)),
        "model_version": int(result.model_version),
    }
