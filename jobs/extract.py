"""Turn every cataloged video that has no vectors of the model yet into one vector per time slice.

The table is the checkpoint: a killed run, the nightly increment and a new model's backfill are the same command. A
video that cannot be decoded becomes a row of `failures`; --retry-failed takes it again.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

from jobs.ray_session import connect, ray_session
from jobs.shell import Answer, Job, main as shell_main
from pipeline import runs
from pipeline.features.config import ExtractConfig


def run(job: Job[ExtractConfig]) -> int:
    """Extract, and say what was done."""
    with ray_session():
        return job.give(extract(job, job.config))


def extract(job: Job, config: ExtractConfig) -> Answer:
    """Extract inside a Ray session that is there already or starts when it is needed."""
    from pipeline.features.extract import extract as run_extract, plan_extract
    from pipeline.features.rehearsal import planned_wall_s

    plan = plan_extract(config)
    with runs.recorded(plan.root, "extract", config, ds=job.ds, selection=plan.selection) as record:
        started_s = time.monotonic()
        counts = run_extract(
            plan, run_key=record.run_key, ds=job.ds, connect=connect, on_progress=job.console.on_progress
        )
        wall_s = time.monotonic() - started_s
        record.counts = {name: value for name, value in asdict(counts).items() if isinstance(value, int)}
        record.counts |= {f"clips_by_{name}": num_clips for name, num_clips in counts.clips_by_engine.items()}
        record.seconds_by_stage, record.bytes_read = counts.seconds_by_stage, counts.bytes_read
    text = (
        f"model {plan.model.version}: {counts.videos} videos decoded, {counts.clips} vectors added, "
        f"{counts.failed} failed, {counts.partial} partly; {counts.already_done} of {counts.cataloged} were done before"
    )
    if counts.bytes_stored:
        text += f"; {counts.bytes_read / 1e6:.1f} MB read of {counts.bytes_stored / 1e6:.1f} MB stored"
    if counts.given_up:
        text += f"; {counts.given_up} failed earlier (--retry-failed takes them again)"
    planned_s = planned_wall_s(plan) if counts.videos else None
    if planned_s:
        text += f"; {planned_s:.1f} s were planned, {wall_s:.1f} s it took: {planned_s / wall_s - 1:+.0%}"
    fields = {"model_version": plan.model.version, "run_key": record.run_key, **asdict(counts)}
    fields |= {"wall_s": wall_s, "planned_wall_s": planned_s}
    return Answer(fields, text, job.exit_code(counts.failed, counts.videos))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job."""
    return shell_main("extract", __doc__, ExtractConfig, run, argv)


if __name__ == "__main__":
    sys.exit(main())
