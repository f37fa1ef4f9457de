"""Say what is done, missing, failed and stale in a root."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import rich.box
from rich.console import Console
from rich.table import Table

from jobs.shell import DONE, Answer, Job, main as shell_main
from pipeline.report.status import Status, status


@dataclass(frozen=True)
class StatusConfig:
    """The root to look at."""

    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""


def run(job: Job[StatusConfig]) -> int:
    """Read the tables, and print where things stand."""
    state = status(job.config.root)
    if job.options.json:
        return job.give(Answer(asdict(state), ""))
    console = Console(width=None if sys.stdout.isatty() else 160)
    for table in _tables(state):
        console.print(table)
    return DONE


def _tables(state: Status) -> list[Table]:
    facts = {
        "root": state.root,
        "champion model": state.champion or "none yet: run `sora train`",
        "videos": ", ".join(f"{count} {name}" for name, count in state.videos.items()) or "none",
        "hours of video": f"{state.hours:.2f}",
        "labels": f"{state.labels} of {state.distinct_labels} kinds",
        "other objects": f"{state.ignored} ignored",
        "done": f"{state.done} videos, {state.clips} vectors",
        "missing": f"{state.missing} videos",
        "failed": ", ".join(f"{count} {name}" for name, count in state.failures_by_class.items()) or "0",
        "stale": f"{state.stale_clips} vectors of other models",
    }
    if state.tracking_waiting:
        facts["tracking"] = f"{state.tracking_waiting} tracking entries wait for MLflow"
    overview = Table(box=rich.box.SIMPLE_HEAD, show_header=False)
    for name, value in facts.items():
        overview.add_row(name, value)
    recent = Table("last runs", "status", "started (UTC)", "seconds", "counts", box=rich.box.SIMPLE_HEAD)
    for run_row in state.last_runs:
        counts = ", ".join(f"{name} {value}" for name, value in run_row["counts"].items() if value)
        started = f"{run_row['started_at']:%Y-%m-%d %H:%M:%S}"
        recent.add_row(run_row["job"], run_row["status"], started, f"{run_row['seconds']:.1f}", counts)
    return [overview, recent]


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job."""
    return shell_main("status", __doc__, StatusConfig, run, argv)


if __name__ == "__main__":
    sys.exit(main())
