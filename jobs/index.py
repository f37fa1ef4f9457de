"""Build the index that `sora search` uses in large tables, or add what is new to it. Safe to repeat, every night.

The first time, and whenever the table has doubled, centroids are made anew; else only vectors without a code are added,
and those of videos that are gone leave. It says which share of the ten true neighbours a search finds (recall@10).
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from jobs.shell import Answer, Job, main as shell_main
from pipeline import registry, runs, storage
from pipeline.tasks.retrieval.index_build import Built, build_index


@dataclass(frozen=True)
class IndexConfig:
    """Whose vectors."""

    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""
    model: str = "champion"
    """champion, a version number of the root, models:/NAME@ALIAS, or the URI of a checkpoint folder."""
    rebuild: bool = False
    """Make it anew even where rows could be added."""


def run(job: Job[IndexConfig]) -> int:
    """Build, and say what was built."""
    return job.give(index(job, job.config))


def index(job: Job, config: IndexConfig) -> Answer:
    """Build, as a part of another job too."""
    root = storage.normalize(config.root)
    reference = registry.resolve(root, config.model)
    with runs.recorded(root, "index", config, ds=job.ds, selection={"model": reference.digest}) as record:
        built = build_index(root, model=config.model, rebuild=config.rebuild, on_progress=job.console.on_progress)
        record.counts = {"clips": built.num_added, "removed": built.num_removed, "rows": built.num_rows}
    return Answer({"model_version": reference.version, **asdict(built)}, _text(reference.version, built))


def _text(version: str, built: Built) -> str:
    made = "centroids made anew, " if built.is_retrained else ""
    lines = [
        f"model {version}: {made}{built.num_added} vectors added, {built.num_removed} removed; {built.num_rows} in the "
        f"index, {built.num_bytes / 1e6:.1f} MB, {built.seconds:.1f} s"
    ]
    if built.recall is None:
        lines.append(f"too few vectors to measure recall; all {built.num_cells} cells are looked at")
    else:
        lines.append(
            f"recall@10 {built.recall.at_10:.3f} on {built.recall.num_queries} held-out queries, "
            f"looking at {built.num_probes} of {built.num_cells} cells"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job."""
    return shell_main("index", __doc__, IndexConfig, run, argv)


if __name__ == "__main__":
    sys.exit(main())
