"""The whole loop on one machine: catalog -> train -> extract -> query, with everything embedded.

Without VIDEOS it renders a small labelled corpus of its own, in which only the motion tells the class. Run it again:
what is done is not done twice.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from jobs import catalog as catalog_job, extract as extract_job, train as train_job
from jobs.ray_session import ray_session
from jobs.shell import Answer, Job, main as shell_main
from pipeline import storage, tracking
from pipeline.corpus.config import CatalogConfig
from pipeline.features.config import ExtractConfig
from pipeline.tasks import query
from pipeline.train.config import TrainConfig
from pipeline.train.job import TrainJob

_RENDERED_CLIPS = 48
# About 93 clips of 36 videos: 30 epochs take some 80 s on 2 cores.
_RENDERED_TRAINING = TrainConfig(epochs=30, batch_size=8)
_OWN_TRAINING = TrainConfig(epochs=5)


@dataclass(frozen=True)
class DemoConfig:
    """What to show the loop on."""

    videos: Positional[str | None] = None
    """Folder or bucket prefix with videos of your own; folder names become labels. Left out: a rendered corpus."""
    root: str = "sora-demo"
    """Where tables, models and the rendered corpus go."""


def run(job: Job[DemoConfig]) -> int:
    """Run the loop, and say where things are."""
    root, console = storage.normalize(job.config.root), job.console
    corpus, labels, training = _corpus(job.config, root)
    with ray_session():
        console.note(f"1/4 catalog {corpus}")
        cataloged = catalog_job.catalog(job, CatalogConfig(corpus, root, labels, labels_from_folders=labels is None))
        console.note(cataloged.text)
        console.note("2/4 train")
        console.note(train_job.train(job, TrainJob(root, train=training)).text)
        console.note("3/4 extract")
        extracted = extract_job.extract(job, ExtractConfig(root))
        console.note(extracted.text)
    console.note("4/4 query")
    summary = query.sql(root, _QUERIES[0]).to_pylist()
    lines = [
        f"  {row['label'] or '(no label)':<24}{row['videos']:>6} videos {row['vectors']:>6} vectors" for row in summary
    ]
    text = "\n".join([*lines, "", _where(root)])
    return job.give(Answer({"root": root, "classes": summary}, text, max(cataloged.code, extracted.code)))


def _corpus(config: DemoConfig, root: str) -> tuple[str, str | None, TrainConfig]:
    if config.videos is not None:
        return storage.normalize(config.videos), None, _OWN_TRAINING
    from pipeline.corpus.synthetic import render_corpus

    folder = storage.local_path(root) / "corpus" if storage.is_local(root) else Path("sora-demo-corpus").absolute()
    labels = render_corpus(folder, num_clips=_RENDERED_CLIPS)
    return storage.normalize(str(folder)), str(labels), _RENDERED_TRAINING


_QUERIES = (
    "SELECT label, count(DISTINCT video_id) AS videos, count(*) AS vectors FROM features "
    "LEFT JOIN labels USING (video_id) GROUP BY label ORDER BY label",
    "SELECT uri, start_s, round(recon_error, 3) AS recon_error FROM features ORDER BY recon_error DESC LIMIT 5",
    "SELECT b.uri, round(list_cosine_similarity(a.embedding, b.embedding), 3) AS similarity FROM features a, "
    "features b WHERE a.clip_id = (SELECT min(clip_id) FROM features) AND b.video_id != a.video_id "
    "ORDER BY similarity DESC LIMIT 5",
)


def _where(root: str) -> str:
    shown = str(storage.local_path(root)) if storage.is_local(root) else root
    queries = "\n".join(f'  sora sql --root {shown} "{text}"' for text in _QUERIES)
    return (
        f"tables   {storage.join(shown, 'tables')}   (Delta Lake; any engine reads them)\n"
        f"models   {storage.join(shown, 'models')}\n"
        f"MLflow   mlflow ui --backend-store-uri {tracking.tracking_uri(root)}\n"
        f"state    sora status --root {shown}\n\nThree queries to try (`. .venv/bin/activate` first):\n{queries}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job."""
    return shell_main("demo", __doc__, DemoConfig, run, argv)


if __name__ == "__main__":
    sys.exit(main())
