"""Vectors for folders of videos, by the same catalog, training and extraction that every other job uses."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from jobs import catalog as catalog_job, extract as extract_job, train as train_job
from jobs.ray_session import ray_session
from jobs.shell import Job
from pipeline import registry, storage, tables
from pipeline.corpus.config import CatalogConfig
from pipeline.errors import ConfigError
from pipeline.features.config import ExtractConfig
from pipeline.tasks.behaviour.config import AnomalyConfig, BinaryConfig
from pipeline.tasks.slices import chosen_videos
from pipeline.tracking import CHAMPION
from pipeline.train.config import TrainConfig
from pipeline.train.job import TrainJob


def training_of(epochs: int) -> TrainConfig:
    """How a model is trained whose vectors must tell any difference: see docs/behaviour.md.

    Reconstruction alone left 3 directions with 99.9 % of the variance, and distances that said little. Contrast
    between clips, with views that differ by noise and holes only, spreads what makes one clip another: colours too,
    which descriptors do not see.
    """
    weights = {"instance_weight": 0.3, "variance_weight": 1.0, "covariance_weight": 0.04}
    weights |= {"descriptor_weight": 0.0, "classification_weight": 1.0}
    return TrainConfig(epochs=epochs, batch_size=16, colour_jitter=0.0, min_crop_area=1.0, **weights)


@contextmanager
def root_of(config: AnomalyConfig) -> Iterator[str]:
    """The root's URI; a temporary one, gone afterwards, where none is given."""
    if config.root is not None:
        yield storage.normalize(config.root)
        return
    with tempfile.TemporaryDirectory(prefix="sora-behaviour-") as folder:
        yield storage.normalize(folder)


def give_vectors_for_anomalies(job: Job, config: AnomalyConfig, root: str) -> bool:
    """Catalog both folders and extract them, after a training on the normal one where that is asked for and needed.

    Returns:
        Whether a model was trained now.
    Raises:
        CheckpointError: there is no model, and none was to be trained.
        ConfigError: one folder lies in the other, or videos that are not normal would be trained on.
    """
    normal, test = storage.normalize(config.normal), storage.normalize(config.test)
    if f"{normal}/".startswith(f"{test}/") or f"{test}/".startswith(f"{normal}/"):
        expected = "two folders, neither in the other"
        raise ConfigError("Normal and test footage share a folder.", where=test, got=normal, expected=expected)
    is_to_train = config.train and config.model == CHAMPION and registry.find(root) is None
    if not is_to_train:
        registry.resolve(root, config.model)
    with ray_session():
        job.console.note(catalog_job.catalog(job, CatalogConfig(normal, root)).text)
        if is_to_train:
            _require_only(root, normal)
            training = TrainJob(root, train=training_of(config.epochs), sampling=config.sampling)
            job.console.note(train_job.train(job, training).text)
        job.console.note(catalog_job.catalog(job, CatalogConfig(test, root)).text)
        job.console.note(extract_job.extract(job, ExtractConfig(root, config.model)).text)
    return is_to_train


def give_vectors_for_clips(job: Job, config: BinaryConfig, root: str) -> None:
    """Catalog a folder and extract it.

    Raises:
        CheckpointError: there is no model.
    """
    registry.resolve(root, config.model)
    with ray_session():
        job.console.note(catalog_job.catalog(job, CatalogConfig(config.videos, root)).text)
        job.console.note(extract_job.extract(job, ExtractConfig(root, config.model)).text)


def _require_only(root: str, normal: str) -> None:
    """Training takes every video of the root: refuse it where some are not normal footage."""
    ids = set(chosen_videos(root)["video_id"].to_pylist())
    rows = tables.read(root, "videos", ["video_id", "uri"]).to_pylist()
    others = sorted({row["uri"] for row in rows if row["video_id"] in ids and not row["uri"].startswith(f"{normal}/")})
    if others:
        cure = "name a new root, or none, or train a model with `sora train` and leave --train out"
        got = f"{len(others)} others, the first {others[0]}"
        raise ConfigError("The root holds videos that are not the normal footage.", where=root, got=got, cure=cure)
