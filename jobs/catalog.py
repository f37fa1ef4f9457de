"""List a corpus, probe what is new or changed, and commit it to `videos`.

Unchanged objects are not read again; changed ones get a new version; vanished ones are marked, not forgotten. What is
video is decided by content; what cannot be probed becomes a row of `failures` with its reason. With --preview, every
video is read once in full: how much moves, where shots may change, and digests that find duplicates.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict

from jobs.ray_session import connect, ray_session
from jobs.shell import Answer, Job, main as shell_main
from pipeline import runs, storage
from pipeline.corpus.config import CatalogConfig


def run(job: Job[CatalogConfig]) -> int:
    """Catalog, and say what was found."""
    with ray_session():
        return job.give(catalog(job, job.config))


def catalog(job: Job, config: CatalogConfig) -> Answer:
    """Catalog inside a Ray session that is there already or starts when it is needed."""
    from pipeline.corpus.catalog import catalog as run_catalog

    root, selection = storage.normalize(config.root), {"corpus": storage.normalize(config.corpus)}
    with runs.recorded(root, "catalog", config, ds=job.ds, selection=selection) as record:
        counts = run_catalog(
            config, run_key=record.run_key, ds=job.ds, connect=connect, on_progress=job.console.on_progress
        )
        record.counts = {name: value for name, value in asdict(counts).items() if isinstance(value, int)}
        record.bytes_read = counts.preview_bytes if config.preview else None
    unmatched = counts.unmatched_labels
    if unmatched:
        job.console.note(f"{len(unmatched)} labelled paths are not in the corpus, the first: {unmatched[0]}")
    text = (
        f"{counts.listed - counts.ignored} videos listed: {counts.new} new, {counts.changed} changed, "
        f"{counts.unchanged} unchanged, {counts.vanished} vanished; {counts.failed} failures, {counts.ignored} other "
        f"objects ignored"
    )
    if config.preview:
        text += f"; {counts.previewed} previewed from {counts.preview_bytes / 1e6:.1f} MB, {counts.preview_failed} not"
    if counts.labelled:
        text += f"; {counts.labelled} labels of {counts.distinct_labels} kinds"
    code = job.exit_code(counts.failed, counts.new + counts.changed)
    code = max(code, job.exit_code(counts.preview_failed, counts.previewed + counts.preview_failed))
    return Answer(asdict(counts), text, code)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job."""
    return shell_main("catalog", __doc__, CatalogConfig, run, argv)


if __name__ == "__main__":
    sys.exit(main())
