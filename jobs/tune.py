"""Search for training settings: trials from a declared space, poor ones stopped early, the best as options of `train`.

Trials are scored on source groups kept from training, never on what a split column holds out. No model is published:
`sora train --options` with the file that is named at the end makes one.
"""

import sys
from collections.abc import Sequence

from jobs.ray_session import connect, ray_session
from jobs.shell import Answer, Job, main as shell_main
from pipeline import runs, storage
from pipeline.tune.job import TuneJob


def run(job: Job[TuneJob]) -> int:
    """Search, and print the trials, the best first."""
    with ray_session():
        return job.give(tune(job, job.config))


def tune(job: Job, config: TuneJob) -> Answer:
    """Search inside a Ray session that is there already or starts when it is needed."""
    from pipeline.tune import search

    selection = search.plan(config)
    root, name = storage.normalize(config.root), search.search_name(config, selection)
    with runs.recorded(root, "tune", config, ds=job.ds, selection={"name": name}) as record:
        result = search.search(config, selection, connect=connect, watcher=job.console)
        record.mlflow_run_id = result.mlflow_run_id
        record.counts = {
            "trials": len(result.trials),
            "train_videos": len(selection.train),
            "validation_videos": len(selection.validation),
            "held_out_videos": selection.num_held_out,
        }
    rows = [search.row_of(trial) for trial in result.trials]
    lines = [f"{'trial':>5} {'epochs':>6} {result.metric:>11}  setting"]
    lines += [f"{row['trial']:>5} {row['epochs']:>6} {_shown(row)}  {_setting(row['setting'])}" for row in rows]
    lines += [f"the best as options: {result.options_uri}"]
    fields = {"name": result.name, "metric": result.metric, "trials": rows, "options": result.options_uri}
    return Answer(fields, "\n".join(lines), job.exit_code(sum(row["score"] is None for row in rows), len(rows)))


def _shown(row: dict) -> str:
    return f"{'diverged':>11}" if row["score"] is None else f"{row['score']:>11.4f}"


def _setting(setting: dict) -> str:
    return " ".join(f"{name}={value:g}" for name, value in setting.items()) or "as given"


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job."""
    return shell_main("tune", __doc__, TuneJob, run, argv)


if __name__ == "__main__":
    sys.exit(main())
