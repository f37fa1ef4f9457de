"""`sora classify train|predict|report`: a head on labelled vectors, classes for every video, figures against labels."""

import sys
from collections.abc import Sequence

from jobs.shell import Answer, Job, main as shell_main
from pipeline import runs
from pipeline.tasks.classify.config import TrainConfig

_TRAIN = """Train a head on the vectors of labelled videos, averaged over each video, and say how good it is.

It learns from whole-video labels. Its probabilities are calibrated on sources it did not learn from; its figures are
of sources it did not learn from either: by cross-validation, or on the test side of --split-column.
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


_COMMANDS = {"train": (_TRAIN, TrainConfig, train)}


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job: the first word chooses the subcommand."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] not in _COMMANDS:
        is_help = arguments[:1] in (["-h"], ["--help"])
        usage = f"usage: sora classify {{{','.join(_COMMANDS)}}} [OPTIONS]\n\n{__doc__}"
        print(usage, file=sys.stdout if is_help else sys.stderr)
        return 0 if is_help else 2
    if arguments[0] == "train":
        return shell_main("classify train", _TRAIN, TrainConfig, train, arguments[1:])
    return 2


if __name__ == "__main__":
    sys.exit(main())
