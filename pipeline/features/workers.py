"""The Ray Data plan of an extraction: videos in, one TaskResult a task out, and no video forgotten.

pending videos --tasks--> Ray actors (decode, encode, write Parquet) --descriptions--> driver

A task whose worker died again and again is taken apart, one video a task: one bad video must not cost good ones. A
video whose worker dies then too is a failure, `crashed`.
"""

import json
import logging
import threading
import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import ray
import torch

from pipeline.datafiles import DataFile
from pipeline.decode.clips import map_with_actors
from pipeline.errors import DecodeError, SoraError
from pipeline.features.config import EngineChoice
from pipeline.features.crew import Crew, Machines, crew, machines
from pipeline.features.encoder import Encoder, Lineage, TaskResult, failure_row
from pipeline.features.memory import keep_freed_memory
from pipeline.features.pending import MAX_TASKS, task_boundaries

_EVERY = -1  # of ray.data: any number of tasks may fail; the videos of those that do are still known here
_log = logging.getLogger(__name__)


def results(
    lineage: Lineage,
    videos: pa.Table,
    *,
    num_workers: int | None = None,
    num_decoders: int | None = None,
    engine: EngineChoice = "auto",
) -> Iterator[TaskResult]:
    """What became of the videos, task by task; every video is in exactly one result.

    Args:
        lineage: Root, model, run and date.
        videos: video_id, uri, version, duration_s, attempts.
        num_workers, num_decoders: As `crew` takes them.
        engine: What runs the model.
    Raises:
        OSError: a worker could not write to the store.
        SoraError: a worker cannot work at all, for instance because no decoder process starts.
    """
    plan = _Plan(lineage, crew(cluster(), num_workers=num_workers, num_decoders=num_decoders), engine)
    left = yield from _one_pass(plan, videos, task_boundaries(videos["duration_s"].to_pylist()))
    if left.num_rows:
        _log.warning("The workers of %d videos died again and again; each is tried alone now.", left.num_rows)
        suspects = left
        left = yield from _one_pass(plan, suspects, _singly(suspects.num_rows), alone=True)
        if left.num_rows == suspects.num_rows > 1:
            cure = "look at the workers' memory and logs, then run the same command again"
            raise SoraError("No worker survives a single video.", where=f"{left.num_rows} videos", cure=cure)
    for video in left.to_pylist():
        what = "The worker of this video died again and again, also when it had nothing else to do."
        error = DecodeError(what, error_class="crashed", where=video["uri"])
        yield TaskResult(num_videos=1, failures=[failure_row(video, error, lineage.run_key)])


def measured(
    lineage: Lineage, videos: pa.Table, *, workers: Crew, engine: EngineChoice, max_clips: int
) -> Iterator[tuple[int, TaskResult]]:
    """What the first clips of each video take in the workers of an extraction; nothing is written.

    Args:
        lineage: Root and model.
        videos: As for `results`.
        workers: Who measures.
        engine: As for `results`.
        max_clips: Clips of a video that are measured at most.
    Returns:
        The row of a video and its figures; a video whose worker dies again and again is left out.
    """
    blocks = [videos.slice(row, 1).append_column("task", pa.array([row], pa.int32())) for row in range(videos.num_rows)]
    yield from _answers(_Plan(lineage, workers, engine, max_clips), blocks, False)


def cluster() -> Machines:
    """What Ray knows of the machines."""
    return machines([node["Resources"] for node in ray.nodes() if node["Alive"]])


@dataclass(frozen=True)
class _Plan:
    lineage: Lineage
    workers: Crew
    engine: EngineChoice
    max_clips: int | None = None  # only measure, and so many clips of a video


class _ExtractTask:
    """The Ray actor around an Encoder. Errors travel as answers: what Ray swallows are deaths only.

    The Encoder is made by the first task: an actor whose constructor fails is dead for good, and never replaced.
    """

    def __init__(self, lineage: Lineage, device: str, engine: EngineChoice, max_clips: int | None) -> None:
        self._lineage, self._device, self._engine, self._max_clips = lineage, device, engine, max_clips
        self._encoder: Encoder | None = None
        self._starts = threading.Lock()  # several tasks may be the first

    def __call__(self, batch: pa.Table) -> pa.Table:
        try:
            with self._starts:
                encoder = self._encoder = self._encoder or self._started(batch)
            answer = {"result": asdict(self._result(encoder, batch))}
        except Exception as e:  # noqa: BLE001  raised again by the driver
            answer = {"error": _told(e)}
        return pa.table({"task": batch["task"][:1], "answer": [json.dumps(answer)]})

    def _started(self, batch: pa.Table) -> Encoder:
        keep_freed_memory()
        torch.set_num_threads(1)  # parallelism comes from actors
        encoder = Encoder(self._lineage, device=self._device, engine=self._engine)
        if self._max_clips is not None:  # what happens only once in a worker is no part of a rate
            encoder.measure(batch.to_pylist()[0], max_clips=self._max_clips)
        return encoder

    def _result(self, encoder: Encoder, batch: pa.Table) -> TaskResult:
        if self._max_clips is None:
            return encoder.extract(batch.to_pylist())
        (video,) = batch.to_pylist()
        return encoder.measure(video, max_clips=self._max_clips)


def _one_pass(
    plan: _Plan, videos: pa.Table, ranges: Sequence[tuple[int, int]], *, alone: bool = False
) -> Generator[TaskResult, None, pa.Table]:
    """Run one task for each range; returns the videos of the tasks that never answered.

    Args:
        alone: Send no task to an actor that has one: its death would count against both.
    """
    blocks = [
        videos.slice(start, end - start).append_column("task", pa.array([task] * (end - start), pa.int32()))
        for task, (start, end) in enumerate(ranges)
    ]
    unanswered = set(range(len(blocks)))
    for task, result in _answers(plan, blocks, alone):
        if task not in unanswered:  # a repeated task whose first answer came through after all
            continue
        unanswered.discard(task)
        yield result
    left = [videos.slice(start, end - start) for task, (start, end) in enumerate(ranges) if task in unanswered]
    return pa.concat_tables([videos.slice(0, 0), *left])


def _singly(num_videos: int) -> list[tuple[int, int]]:
    """One video a task, or a few where that were more tasks than a driver can keep account of."""
    step = -(-num_videos // MAX_TASKS)
    return [(start, min(start + step, num_videos)) for start in range(0, num_videos, step)]


def _answers(plan: _Plan, blocks: Sequence[pa.Table], alone: bool) -> Iterator[tuple[int, TaskResult]]:
    for row in _rows(plan, blocks, alone):
        answer = json.loads(row["answer"])
        if "error" in answer:
            raise _heard(answer["error"])
        yield row["task"], _task_result(answer["result"])


def _rows(plan: _Plan, blocks: Sequence[pa.Table], alone: bool) -> Iterator[dict[str, Any]]:
    # Ray's executor prints a traceback for each task it lost; the warning in `results` says it in a line.
    logging.getLogger("ray.data._internal.execution.streaming_executor_state").setLevel(logging.CRITICAL)
    workers = plan.workers
    with _lost_tasks_allowed():
        descriptions = map_with_actors(
            blocks,
            _ExtractTask,
            (plan.lineage, "cuda" if workers.gpus_per_worker else "cpu", plan.engine, plan.max_clips),
            num_actors=workers.num_workers,
            cpus_per_actor=workers.cpus_per_worker,
            num_gpus=workers.gpus_per_worker,
            num_threads=1 if alone else workers.num_decoders,
            max_tasks_in_flight=1 if alone else None,
        )
    for batch in descriptions.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        yield from batch.to_pylist()


@contextmanager
def _lost_tasks_allowed() -> Iterator[None]:
    """A dataset keeps the settings it was made under."""
    context = ray.data.DataContext.get_current()
    before, context.max_errored_blocks = context.max_errored_blocks, _EVERY
    try:
        yield
    finally:
        context.max_errored_blocks = before


def _task_result(fields: dict[str, Any]) -> TaskResult:
    files = [DataFile(**{**file, "keys": tuple(tuple(key) for key in file["keys"])}) for file in fields.pop("files")]
    return TaskResult(**fields, files=files)


def _told(error: Exception) -> dict[str, Any]:
    """An error as plain fields; those that are neither ours nor the store's are bugs, and bring their traceback."""
    if isinstance(error, SoraError):
        texts = {name: value if value is None else str(value) for name, value in error.parts().items()}
        return {"what": error.what, **texts, "exit_code": error.exit_code}
    if isinstance(error, OSError):
        return {"storage": f"{type(error).__name__}: {error}"}
    return {"bug": traceback.format_exc()}


def _heard(fields: dict[str, Any]) -> Exception:
    if "bug" in fields:
        return RuntimeError(f"A task of the extraction failed:\n{fields['bug']}")
    if "storage" in fields:
        return OSError(fields["storage"])
    exit_code = fields.pop("exit_code")
    error = SoraError(**fields)
    error.exit_code = exit_code
    return error
