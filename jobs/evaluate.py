"""Judge the vectors of the table, beside controls that the same code judges: probe, kNN, retrieval, PSNR.

Vectors are frozen, and averaged over a video. What is fitted or chosen sees training videos only. Every video is
decoded once more for the controls: the same network with fresh weights, and principal components of the pixels.
"""

import sys
from collections.abc import Sequence

from jobs.ray_session import connect, ray_session
from jobs.shell import Answer, Job, main as shell_main
from pipeline import runs
from pipeline.evaluate.config import EvaluateConfig


def run(job: Job[EvaluateConfig]) -> int:
    """Evaluate, and print what was found."""
    with ray_session():
        return job.give(evaluate(job, job.config))


def evaluate(job: Job, config: EvaluateConfig) -> Answer:
    """Evaluate inside a Ray session that is there already or starts when it is needed."""
    from pipeline.evaluate.evaluation import evaluate as run_evaluation, plan_evaluation

    plan = plan_evaluation(config)
    with runs.recorded(plan.root, "evaluate", config, ds=job.ds, selection=plan.selection) as record:
        done = run_evaluation(plan, connect=connect, watcher=job.console)
        record.mlflow_run_id = done.mlflow_run_id
        record.counts = {
            "videos": done.num_videos,
            "left_out": plan.num_left_out + done.num_undecoded,
            "splits": len(plan.rows.splits),
            "classes": len(plan.rows.classes),
        }
    text = f"{done.page}\n\nfiles in {done.folder}"
    return Answer(done.found, text, job.exit_code(done.num_undecoded, done.num_videos + done.num_undecoded))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job."""
    return shell_main("evaluate", __doc__, EvaluateConfig, run, argv)


if __name__ == "__main__":
    sys.exit(main())
