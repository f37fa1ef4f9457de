"""A small extraction before the large one: some videos are measured in the real workers, and nothing is written.

pending videos --sample--> workers.measured --figures--> forecast --a row of `runs`--> the extraction tells its error
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.decode.sampling import SamplingConfig, num_clips
from pipeline.features.config import ExtractConfig, PlanConfig
from pipeline.features.crew import Crew, Machines, crew
from pipeline.features.encoder import Lineage, TaskResult
from pipeline.features.extract import ExtractPlan
from pipeline.features.forecast import Fleet, Forecast, Measured, forecast, sample
from pipeline.features.pending import believed_duration_s
from pipeline.features.workers import cluster, measured
from pipeline.progress import OnProgress, Progress, unwatched

JOB, PLANNED_WALL, PLANNED_VIDEOS = "plan", "planned_wall", "planned_videos"  # in `runs`: job, seconds_by_stage, counts


def rehearse(
    plan: ExtractPlan, config: PlanConfig, *, connect: Callable[[], None], on_progress: OnProgress = unwatched
) -> Forecast:
    """Measure some of the pending videos and say what all of them will take.

    Args:
        plan: From plan_extract; something is pending.
        config: How closely to look, and prices.
        connect: Starts or joins Ray.
        on_progress: Told after every measured video.
    """
    started_s = time.monotonic()
    connect()
    num_clips_of = _clips_of(plan.pending.videos, plan.sampling)
    points = sample(num_clips_of, config.sample_videos)
    max_clips = math.ceil(config.sample_seconds / plan.sampling.stride_s)
    found = cluster()
    here = crew(found, num_workers=None, num_decoders=config.num_decoders)
    wanted = crew(found, num_workers=config.num_workers, num_decoders=config.num_decoders)
    results: dict[int, TaskResult] = {}
    start_up_s = 0.0
    for row, result in measured(
        Lineage(plan.root, plan.model, "", date.min),
        plan.pending.videos.take(pa.array(list(points))),
        workers=min(here, wanted, key=lambda one: one.num_workers),
        engine=config.engine,
        max_clips=max_clips,
    ):
        if not results:  # a worker's first video is taken twice
            start_up_s = max(0.0, time.monotonic() - started_s - 2 * (result.decode_s + result.encode_s))
        results[row] = result
        num_failed = sum(not one.num_clips for one in results.values())
        on_progress(Progress("sample", len(results), len(points), num_failed))
    return forecast(
        [
            Measured(num_points, min(num_clips_of[index], max_clips), results.get(row))
            for row, (index, num_points) in enumerate(points.items())
        ],
        num_videos=len(num_clips_of),
        num_clips=sum(num_clips_of),
        dim=plan.embedding_dim,
        start_up_s=start_up_s,
        fleet=_fleet(found, wanted, times=wanted.num_workers / here.num_workers, config=config),
    )


def resolved(config: ExtractConfig, plan: ExtractPlan) -> ExtractConfig:
    """The options with the model that they mean now; "champion" may be another one tomorrow."""
    return replace(config, model=plan.model.version)


def planned_wall_s(plan: ExtractPlan) -> float | None:
    """What the newest `sora plan` of the same extraction said it would take, in seconds; None where there is none."""
    rows = tables.read(plan.root, "runs", where=(pc.field("job") == JOB) & (pc.field("status") == "succeeded"))
    for row in rows.sort_by([("started_at", "descending")]).to_pylist():
        is_same = _options(json.loads(row["config"])) == _options(asdict(resolved(plan.config, plan)))
        if is_same and dict(row["counts"]).get(PLANNED_VIDEOS) == plan.pending.videos.num_rows:
            return dict(row["seconds_by_stage"]).get(PLANNED_WALL)
    return None


def _options(config: Mapping[str, object]) -> dict[str, object]:
    """Those of an extraction, less where its root is."""
    return {field.name: config.get(field.name) for field in fields(ExtractConfig) if field.name != "root"}


def _clips_of(videos: pa.Table, sampling: SamplingConfig) -> list[int]:
    return [num_clips(sampling, believed_duration_s(duration_s)) for duration_s in videos["duration_s"].to_pylist()]


def _fleet(found: Machines, wanted: Crew, *, times: float, config: PlanConfig) -> Fleet:
    """The cluster as it is, or as many times of it as the wanted workers need."""
    return Fleet(
        wanted.num_workers,
        wanted.videos_at_once,
        num_cpus=times * found.num_cpus,
        num_gpus=times * found.num_gpus,
        core_hour_price=config.core_hour_price,
        gpu_hour_price=config.gpu_hour_price,
    )
