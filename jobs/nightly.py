"""The nightly job: catalog the corpus, give what is new its vectors with the champion, sum up. Safe to repeat.

Where `sora index` has built an index of the model's vectors, what is new is added to it. A second run of the same date
finds nothing to do. Put it behind a scheduler with one date per night.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tyro.conf import Positional

from jobs import catalog as catalog_job, extract as extract_job, index as index_job
from jobs.ray_session import ray_session
from jobs.shell import Answer, Job, main as shell_main
from pipeline import registry, storage
from pipeline.corpus.config import CatalogConfig
from pipeline.features.config import ExtractConfig
from pipeline.report.status import status
from pipeline.tasks.retrieval import index_layout


@dataclass(frozen=True)
class NightlyConfig:
    """What a night works on."""

    corpus: Positional[str]
    """Folder or bucket prefix with videos: a path, file:// or s3:// URI; listed recursively."""
    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""
    model: str = "champion"
    """champion, a version number of the root, models:/NAME@ALIAS, or the URI of a checkpoint folder."""
    labels: str | None = None
    """CSV with path,label[,start_s,end_s], as for `sora catalog`."""
    labels_from_folders: bool = False
    """Take the first folder below the corpus as the label of each video in it."""
    retry_failed: bool = False
    """Probe and decode again what failed before."""


def run(job: Job[NightlyConfig]) -> int:
    """Catalog, extract, sum up; the worse of the two exit codes."""
    config = job.config
    root = storage.normalize(config.root)
    model = registry.resolve(root, config.model)  # a night without a model must not begin
    with ray_session():
        listing = CatalogConfig(
            config.corpus, config.root, config.labels, config.labels_from_folders, config.retry_failed
        )
        cataloged = catalog_job.catalog(job, listing)
        extracted = extract_job.extract(job, ExtractConfig(config.root, config.model, config.retry_failed))
    answers = {"catalog": cataloged, "extract": extracted}
    if index_layout.read_state(root, model) is not None:
        answers["index"] = index_job.index(job, index_job.IndexConfig(config.root, config.model))
    state = status(config.root)
    summary = (
        f"{job.ds}: {state.done} videos done, {state.missing} missing, {state.failed} failed, {state.clips} vectors"
    )
    fields: dict[str, Any] = {
        "ds": job.ds,
        "done": state.done,
        "missing": state.missing,
        "failed": state.failed,
        "clips": state.clips,
    }
    fields |= {name: answer.fields for name, answer in answers.items()}
    text = "\n".join([*(answer.text for answer in answers.values()), summary])
    return job.give(Answer(fields, text, max(answer.code for answer in answers.values())))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job."""
    return shell_main("nightly", __doc__, NightlyConfig, run, argv)


if __name__ == "__main__":
    sys.exit(main())
