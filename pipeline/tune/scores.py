"""What a trial is worth: frozen vectors, averaged over a video, of videos that it has not learned from.

Whatever is fitted sees training videos only, and the strength of the probe is chosen on whole sources of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.decode.transform import to_model_input
from pipeline.errors import ConfigError
from pipeline.evaluate.probe import linear_probe
from pipeline.evaluate.retrieval import retrieval
from pipeline.model.autoencoder import VideoAutoencoder
from pipeline.train.clip_table import ClipTable
from pipeline.train.selection import UNLABELLED, Selection
from pipeline.tune.job import Metric, TuneJob

_EMBEDDED_AT_ONCE = 32
HIGHER_IS_BETTER: Mapping[Metric, bool] = {"probe": True, "r1": True, "recon_error": False}


def metric_of(job: TuneJob, selection: Selection) -> Metric:
    """What trials are compared by.

    Raises:
        ConfigError: no video to score on, or a score that needs labels where there are too few.
    """
    if not selection.validation:
        cure = "catalog more videos of other sources, or name another --group-column"
        raise ConfigError("No source can be spared to score on.", where="validation videos", got=0, cure=cure)
    is_labelled = len(selection.labels) > 1 and any(v.label in selection.labels for v in selection.validation)
    if job.metric == "auto":
        return "probe" if is_labelled else "recon_error"
    if job.metric != "recon_error" and not is_labelled:
        expected = "two classes to learn from, and one of them among the validation videos"
        raise ConfigError("There are too few labels to score by.", where="--metric", got=job.metric, expected=expected)
    return job.metric


@dataclass(frozen=True)
class _Videos:
    """Vectors float64 (V, D), labels int64 (V,) and sources (V,) of videos; the mean error of their clips."""

    vectors: NDArray[np.float64]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    recon_error: float


def score(
    network: VideoAutoencoder,
    train: ClipTable,
    validation: ClipTable,
    *,
    groups: Mapping[str, str],
    metric: Metric,
    seed: int,
) -> float:
    """One number; whether more is better says HIGHER_IS_BETTER.

    Args:
        network: With the weights to judge.
        train: Clips that it has learned from.
        validation: Clips that it has not.
        groups: Source of each video, by video_id.
        metric: What to measure.
        seed: Draws the sources that the probe's strength is chosen on.
    """
    measured = _videos(network, validation, groups)
    if metric == "recon_error":
        return measured.recon_error
    learned = _videos(network, train, groups)
    labels = np.concatenate([learned.labels, measured.labels])
    is_labelled = labels != UNLABELLED
    labels, vectors = labels[is_labelled], np.concatenate([learned.vectors, measured.vectors])[is_labelled]
    is_train = (np.arange(len(is_labelled)) < len(learned.labels))[is_labelled]
    if metric == "r1":
        return retrieval(vectors, labels, is_train)["r1"]
    sources = np.concatenate([learned.groups, measured.groups])[is_labelled]
    predicted = linear_probe(vectors, labels, sources, is_train, seed=seed)
    return float((predicted == labels[~is_train]).mean())


@torch.inference_mode()
def _videos(network: VideoAutoencoder, table: ClipTable, groups: Mapping[str, str]) -> _Videos:
    """Everything is computed in float32, whatever the training computes in."""
    network.eval()
    device = next(network.parameters()).device
    vectors, errors, labels = [], [], []
    for indices in _parts(len(table)):
        batch = table.batch(indices)
        x = to_model_input(batch.frames.to(device))
        output = network(x)
        vectors.append(output.embedding.cpu())
        errors.append((output.reconstruction - x).abs().mean(dim=(1, 2, 3, 4)).cpu())
        labels.append(batch.labels)
    names, of_clip = np.unique(table.video_ids, return_inverse=True)
    counts = np.bincount(of_clip)
    sums = np.zeros((len(names), network.embedding_dim))
    np.add.at(sums, of_clip, torch.cat(vectors).double().numpy())
    of_video = np.zeros(len(names), np.int64)
    of_video[of_clip] = torch.cat(labels).numpy()
    sources = np.array([groups[name] for name in names])
    return _Videos(sums / counts[:, None], of_video, sources, float(torch.cat(errors).mean()))


def _parts(num_clips: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, num_clips, _EMBEDDED_AT_ONCE):
        yield np.arange(start, min(start + _EMBEDDED_AT_ONCE, num_clips))
