"""`sora classify train|predict|report`: a head on labelled vectors, classes for every video, figures against labels."""

import sys
from collections.abc import Sequence
from dataclasses import asdict

from jobs.shell import Answer, Job, main as shell_main
from pipeline import runs
from pipeline.tasks.classify.config import PredictConfig, ReportConfig, TrainConfig

_TRAIN = """Train a head on the vectors of labelled videos, averaged over each video, and say how good it is.

It learns from labels on whole videos. Its probabilities are calibrated on sources that were held out, and so are its
figures: by cross-validation, or on the test side of --split-column. It is written once, to <root>/heads/NAME/VERSION.
"""
_PREDICT = """Give every video that has vectors its classes under a head: rows of `predictions`, by slice and by video.

What has predictions of this head is not done again, so a killed run is resumed by the same command.
"""
_REPORT = """Hold the predictions of a head against the labels: class by class, calibration, how many are unknown.

Videos that the head learned from are counted apart. Writes report.json, report.txt and confusion.png.
"""


def train(job: Job[TrainConfig]) -> int:
    """Train, and print the figures."""
    from pipeline.tasks.classify.training import plan_training, train as run_training

    plan = plan_training(job.config)
    with runs.recorded(plan.root, "classify train", job.config, ds=job.ds, selection=plan.selection) as record:
        done = run_training(plan, watcher=job.console)
        record.mlflow_run_id = done.mlflow_run_id
        record.counts = {
            "videos": done.found["num_videos"],
            "left_out": plan.num_left_out,
            "classes": len(done.found["classes"]),
        }
    return job.give(Answer(done.found, f"{done.page}\nfiles in {done.reference.uri}"))


def predict(job: Job[PredictConfig]) -> int:
    """Predict what the head has not seen yet, and say how much that was."""
    from pipeline.tasks.classify.prediction import plan_prediction, predict as run_prediction

    plan = plan_prediction(job.config)
    with runs.recorded(plan.root, "classify predict", job.config, ds=job.ds, selection=plan.selection) as record:
        done = run_prediction(plan, run_key=record.run_key, ds=job.ds, on_progress=job.console.on_progress)
        record.counts = {name: value for name, value in asdict(done).items() if isinstance(value, int)}
    fields = {"head": plan.reference.name, "version": plan.reference.version, "model": plan.head.model_version}
    text = f"head {plan.reference} on vectors of model {plan.head.model_version}: {done.videos} videos, {done.clips} "
    text += (
        f"slices predicted; unknown: {done.unknown_videos} videos, {done.unknown_clips} slices; {done.already_done} "
    )
    text += f"of {plan.pending.num_with_vectors} videos were done before"
    return job.give(Answer({**fields, "run_key": record.run_key, **asdict(done)}, text))


def report(job: Job[ReportConfig]) -> int:
    """Compare with the labels, and print the figures."""
    from pipeline.tasks.classify.report import report as run_report

    found, page, folder = run_report(job.config)
    return job.give(Answer(found, f"{page}\n\nfiles in {folder}"))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job: the first word chooses the subcommand."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    match arguments[:1]:
        case ["train"]:
            return shell_main("classify train", _TRAIN, TrainConfig, train, arguments[1:])
        case ["predict"]:
            return shell_main("classify predict", _PREDICT, PredictConfig, predict, arguments[1:])
        case ["report"]:
            return shell_main("classify report", _REPORT, ReportConfig, report, arguments[1:])
    is_help = arguments[:1] in (["-h"], ["--help"])
    usage = f"usage: sora classify {{train,predict,report}} [OPTIONS]\n\n{__doc__}"
    print(usage, file=sys.stdout if is_help else sys.stderr)
    return 0 if is_help else 2


if __name__ == "__main__":
    sys.exit(main())
