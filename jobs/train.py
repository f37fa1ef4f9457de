"""Train a model on the cataloged videos, and make it the champion.

The same command resumes a run that was killed, and does nothing where it had finished. With labels, a classifier is
trained along, and its per-class report on the validation videos is printed.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict

from jobs.ray_session import connect, ray_session
from jobs.shell import Answer, Job, main as shell_main
from pipeline import runs, storage
from pipeline.train.job import TrainJob


def run(job: Job[TrainJob]) -> int:
    """Train, and say what came of it."""
    with ray_session():
        return job.give(train(job, job.config))


def train(job: Job, config: TrainJob) -> Answer:
    """Train inside a Ray session that is there already or starts when it is needed."""
    from pipeline.train import trainer

    selection = trainer.plan(config)
    root = storage.normalize(config.root)
    name = trainer.run_name(config, selection)
    with runs.recorded(root, "train", config, ds=job.ds, selection={"name": name}) as record:
        result = trainer.train(config, selection, connect=connect, watcher=job.console)
        record.counts, record.mlflow_run_id = trainer.record_counts(result, selection), result.mlflow_run_id
    metrics = result.metrics
    lines = [f"run {result.run_name} had finished before"] if result.was_finished else []
    lines += [f"{key}: {metrics[key]:.4f}" for key in _SHOWN if key in metrics]
    if result.report_text:
        lines += ["", f"validation clips, class by class:\n{result.report_text}"]
    lines += [
        f"model {result.model_version} is the champion: {result.model_uri}",
        f"MLflow run {result.mlflow_run_id} in {result.mlflow_uri}"
        if result.mlflow_run_id
        else f"MLflow at {result.mlflow_uri} is told later; until then it waits in the root",
    ]
    return Answer(asdict(result), "\n".join(lines))


_SHOWN = ("train_loss", "validation_loss", "validation_recon_error", "validation_accuracy")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job."""
    return shell_main("train", __doc__, TrainJob, run, argv)


if __name__ == "__main__":
    sys.exit(main())
