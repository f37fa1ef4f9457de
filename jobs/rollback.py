"""Take a run of `extract` or `classify predict` back: its rows leave the tables, and the next run does the work again.

The run must have ended: what a running one commits afterwards stays. Find its key with `sora status`, or
sora sql --root ROOT "SELECT run_key, job, started_at FROM runs ORDER BY started_at DESC LIMIT 10"
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from jobs.shell import Answer, Job, main as shell_main
from pipeline import runs, storage
from pipeline.maintenance import rollback


@dataclass(frozen=True)
class RollbackConfig:
    """The run to take back."""

    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""
    run: str
    """run_key of the run, 16 hex digits; all runs of the same work on the same date share it."""


def run(job: Job[RollbackConfig]) -> int:
    """Take the rows out, and say how many they were."""
    config = job.config
    root = storage.normalize(config.root)
    with runs.recorded(root, "rollback", config, ds=job.ds, selection={"run": config.run}) as record:
        taken = rollback(root, config.run)
        record.counts = asdict(taken)
    rows = f"{taken.features} rows of features, {taken.failures} of failures and {taken.predictions} of predictions"
    text = f"run {config.run}: {rows} taken out"
    return job.give(Answer({"run": config.run, **asdict(taken)}, text))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job."""
    return shell_main("rollback", __doc__, RollbackConfig, run, argv)


if __name__ == "__main__":
    sys.exit(main())
