"""Keep the tables fast and small: combine small files, remove old ones, shorten the log. Safe beside running jobs.

Small data files of one partition become files of about --target-mb, sorted; not a row changes. Files that no commit
names, of killed jobs or replaced by others, go once they are older than --keep-hours. Run it weekly, or every night.
What training kept while MLflow was down is told to MLflow.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from jobs.shell import Answer, Job, main as shell_main
from pipeline import runs, storage, tracking, tracking_spool
from pipeline.maintenance import Upkeep, maintain


@dataclass(frozen=True)
class MaintainConfig:
    """What to keep, and how large files are to be."""

    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""
    keep_hours: int = 168
    """Age in hours from which files that no commit names are removed, in [1, 168]; more than the --stall-minutes of any
    job. A reader that holds an older state of a table than this finds files missing."""
    target_mb: int = 256
    """Size in MiB that combined files come close to and never pass, in [1, 512]."""


def run(job: Job[MaintainConfig]) -> int:
    """Maintain table by table, and say what was done to each."""
    config = job.config
    root = storage.normalize(config.root)
    with runs.recorded(root, "maintain", config, ds=job.ds, selection={}) as record:
        upkeeps = maintain(
            root,
            keep_hours=config.keep_hours,
            target_bytes=config.target_mb << 20,
            on_progress=job.console.on_progress,
        )
        done = list(upkeeps)
        replayed, waiting = tracking.replay(root), len(tracking_spool.waiting(root))
        record.counts = _counts(done) | ({"tracking_replayed": replayed} if replayed else {})
    fields = {"root": root, "tables": {upkeep.name: asdict(upkeep) for upkeep in done}}
    fields["tracking"] = {"replayed": replayed, "waiting": waiting}
    lines = [_line(upkeep) for upkeep in done]
    if replayed or waiting:
        lines.append(f"{'tracking':<13}{replayed} entries told to MLflow, {waiting} wait")
    return job.give(Answer(fields, "\n".join(lines)))


def _counts(upkeeps: Sequence[Upkeep]) -> dict[str, int]:
    """Flat counts of the tables that were changed, as `runs` keeps them."""
    return {
        f"{upkeep.name}_{name}": value
        for upkeep in upkeeps
        if not upkeep.is_idle
        for name, value in asdict(upkeep).items()
        if isinstance(value, int)
    }


def _line(upkeep: Upkeep) -> str:
    name = f"{upkeep.name:<13}"
    if upkeep.is_idle:
        found = f"{upkeep.files_after} files, {upkeep.bytes_after / 1e6:.1f} MB" if upkeep.files_after else "empty"
        return f"{name}{found}, nothing to do"
    text = f"{name}{upkeep.files_before} files -> {upkeep.files_after}"
    text += f", {upkeep.bytes_before / 1e6:.1f} MB -> {upkeep.bytes_after / 1e6:.1f} MB, {upkeep.vacuumed} old removed"
    if upkeep.lost_races:
        text += f"; {upkeep.lost_races} groups left to the next time: another writer was faster"
    return text


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job."""
    return shell_main("maintain", __doc__, MaintainConfig, run, argv)


if __name__ == "__main__":
    sys.exit(main())
