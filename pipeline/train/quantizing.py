"""A published model becomes another one, in eight bits: its ranges from clips of the corpus, its digest its own.

videos of the catalog --one clip each--> half calibrates, half compares float and eight bits --> a new version
"""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline import registry, storage
from pipeline.decode.sampling import SamplingConfig
from pipeline.decode.sandbox import Sandbox
from pipeline.decode.transform import to_model_input
from pipeline.errors import ConfigError, CorpusError, DecodeError
from pipeline.model.autoencoder import VideoAutoencoder
from pipeline.model.checkpoint import LoadedModel, load_checkpoint, save_checkpoint
from pipeline.model.quantization import is_quantized, quantize
from pipeline.progress import OnProgress, Progress
from pipeline.train.selection import Sample, read_samples, select

_BATCH_CLIPS = 8
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class QuantizeConfig:
    """Which model, and on which videos its ranges are measured."""

    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""
    model: str = "champion"
    """champion, a version number of the root, models:/NAME@ALIAS, or the URI of a checkpoint folder."""
    clips: int = 128
    """Videos of which the first clip is taken: half of them calibrate, half compare."""
    split_column: str | None = None
    """Label attribute whose value is `train` on what may be looked at; left out: every video."""
    group_column: str = "source_group"
    """Label attribute that names a video's source; one source never calibrates and compares."""

    def __post_init__(self) -> None:
        if self.clips < 2:
            expected = "at least 2: one to calibrate on, one to compare"
            raise ConfigError("Too few clips.", where="--clips", got=self.clips, expected=expected)


@dataclass(frozen=True)
class Quantized:
    """The new version, and how near its vectors are to those of the model it was made from.

    cosine and centred_cosine are medians over the compared clips, the second after the mean vector was taken off both.
    """

    model: str
    source: str
    digest: str
    num_calibrated: int
    num_compared: int
    cosine: float
    centred_cosine: float


def quantize_model(config: QuantizeConfig, *, on_progress: OnProgress) -> Quantized:
    """Publish a model in eight bits; the champion stays who it is.

    Raises:
        CheckpointError: the model reference leads nowhere.
        ConfigError: the model is one of eight bits already, or no split column is there.
        CorpusError: too few videos can be decoded.
        TableError: the root has no tables.
    """
    root = storage.normalize(config.root)
    source = registry.resolve(root, config.model)
    loaded = load_checkpoint(registry.fetch(source))
    if is_quantized(loaded.model):
        cure = "name the model it was made from"
        raise ConfigError("The model computes in eight bits already.", where="--model", got=config.model, cure=cure)
    chosen = select(
        read_samples(root),
        validation_fraction=0.5,
        seed=0,
        group_column=config.group_column,
        split_column=config.split_column,
    )
    half = config.clips // 2
    sides = [sorted(side, key=lambda sample: sample.video_id) for side in (chosen.train, chosen.validation)]
    progress = _Counted(on_progress, sum(min(half, len(side)) for side in sides))
    calibration, comparison = (_first_clips(side, half, SamplingConfig(**loaded.sampling), progress) for side in sides)
    if not (len(calibration) and len(comparison)):
        got = f"{len(calibration)} and {len(comparison)} clips"
        cure = "catalog more videos of other sources, or name another --group-column"
        raise CorpusError("Too few videos to calibrate on some and compare on others.", where=root, got=got, cure=cure)
    integer = deepcopy(loaded.model)
    quantize(integer, _batches(calibration))
    before, after = (_vectors(model, comparison) for model in (loaded.model, integer))
    made = _publish(root, loaded, integer)
    mean = before.mean(dim=0)
    return Quantized(
        made.version,
        source.version,
        made.digest,
        len(calibration),
        len(comparison),
        F.cosine_similarity(before, after).median().item(),
        F.cosine_similarity(before - mean, after - mean).median().item(),
    )


class _Counted:
    """Tells how many videos were looked at."""

    def __init__(self, on_progress: OnProgress, total: int):
        self._on_progress, self._total, self._done, self._failed = on_progress, total, 0, 0

    def __call__(self, *, is_failed: bool) -> None:
        self._done += 1
        self._failed += is_failed
        self._on_progress(Progress("decode", min(self._done, self._total), self._total, self._failed))


def _first_clips(samples: Sequence[Sample], number: int, sampling: SamplingConfig, progress: _Counted) -> Tensor:
    """The first clip of the first videos that can be decoded, uint8 (N, T, H, W, C)."""
    found: list[Tensor] = []
    with Sandbox() as sandbox:
        for sample in samples:
            if len(found) == number:
                break
            frames = _first_clip(sandbox, sample, sampling)
            progress(is_failed=frames is None)
            found += [] if frames is None else [frames]
    return torch.stack(found) if found else torch.empty(0)


def _first_clip(sandbox: Sandbox, sample: Sample, sampling: SamplingConfig) -> Tensor | None:
    try:
        with storage.open_object(sample.uri) as source:
            return torch.from_numpy(next(sandbox.read_clips(source, sampling)).frames)
    except (DecodeError, OSError) as e:
        _log.warning("A video is left out. where: %s got: %s", sample.uri, e)
        return None


def _batches(clips: Tensor) -> Iterator[Tensor]:
    for start in range(0, len(clips), _BATCH_CLIPS):
        yield to_model_input(clips[start : start + _BATCH_CLIPS])


@torch.inference_mode()
def _vectors(model: VideoAutoencoder, clips: Tensor) -> Tensor:
    return torch.cat([model.embed(x) for x in _batches(clips)])


def _publish(root: str, loaded: LoadedModel, integer: VideoAutoencoder) -> registry.ModelReference:
    with tempfile.TemporaryDirectory(prefix="sora-int8-") as folder:
        save_checkpoint(Path(folder), integer, labels=loaded.labels, sampling=loaded.sampling, metrics=loaded.metrics)
        return registry.publish(root, Path(folder))
