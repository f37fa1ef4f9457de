"""Say what `sora extract` will take, before it runs: hours, money, bytes, and what holds it up.

Takes the options of `sora extract`, measures a sample of the pending videos in real workers, and writes no vectors.
The next `sora extract` with the same options says how far off the plan was.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict

from rich.filesize import decimal

from jobs.ray_session import connect, ray_session
from jobs.shell import Answer, Job, main as shell_main
from pipeline import runs
from pipeline.features.config import PlanConfig


def run(job: Job[PlanConfig]) -> int:
    """Measure, and print the plan."""
    from pipeline.features.extract import plan_extract
    from pipeline.features.rehearsal import JOB, PLANNED_VIDEOS, PLANNED_WALL, rehearse, resolved

    config = job.config
    plan = plan_extract(config)
    num_pending = plan.pending.videos.num_rows
    if not num_pending:
        return job.give(Answer({"videos": 0, "wall_s": 0.0}, f"model {plan.model.version}: nothing is left to do"))
    with (
        ray_session(),
        runs.recorded(plan.root, JOB, resolved(config, plan), ds=job.ds, selection=plan.selection) as record,
    ):
        found = rehearse(plan, config, connect=connect, on_progress=job.console.on_progress)
        record.counts = {PLANNED_VIDEOS: num_pending, "planned_clips": found.clips, "sampled": found.num_sampled}
        record.seconds_by_stage = {PLANNED_WALL: found.wall_s}
    shares = ", ".join(f"{stage} {share:.0%}" for stage, share in found.shares.items())
    text = "\n".join(
        [
            f"model {plan.model.version}: {found.videos} videos to decode, about {found.clips} vectors",
            f"  time        {_time(found.wall_s)} with {found.num_workers} workers"
            f" (95 % of samples are within {_time(found.wall_s_within)}; start-up is {_time(found.start_up_s)} of it)",
            f"  cost        {found.cost:.2f}",
            f"  bytes       {decimal(found.bytes_read)} to read, about {decimal(found.bytes_written)} to write",
            f"  bottleneck  {found.bottleneck or 'unknown: no sampled video could be decoded'} ({shares})",
            f"  sample      {found.num_sampled} videos, {found.failed_share:.0%} failed",
        ]
    )
    return job.give(Answer(asdict(found), text, job.exit_code(round(100 * found.failed_share), 100)))


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job."""
    return shell_main("plan", __doc__, PlanConfig, run, argv)


if __name__ == "__main__":
    sys.exit(main())
