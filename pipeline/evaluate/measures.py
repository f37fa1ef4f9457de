"""One pass over the videos of an evaluation, in Ray actors: what the controls see of them, and how they are rebuilt.

videos --sandbox--> clips --networks--> one row a video: means over its clips. No frame reaches the driver.
"""

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pipeline import registry, storage
from pipeline.decode.clips import map_with_actors
from pipeline.decode.sampling import SamplingConfig
from pipeline.decode.sandbox import Sandbox
from pipeline.decode.transform import to_model_input
from pipeline.errors import DecodeError
from pipeline.evaluate.fidelity import psnr, ssim, to_unit
from pipeline.evaluate.pca import pooled_descriptors, pooled_differences, pooled_pixels
from pipeline.evaluate.record import FIDELITY
from pipeline.features.crew import crew
from pipeline.features.workers import cluster
from pipeline.model.autoencoder import VideoAutoencoder, build_model
from pipeline.model.checkpoint import load_checkpoint
from pipeline.progress import OnProgress, Progress

VECTORS = ("pixels", "differences", "descriptors", "random_init", "logits")  # float32; random_init: (seeds, D) flat
_BATCH_CLIPS = 8
_VIDEOS_A_BLOCK = 4
_FLOATS = pa.list_(pa.float32())
_SCHEMA = pa.schema([pa.field("video_id", pa.string()), *(pa.field(name, _FLOATS) for name in (*VECTORS, *FIDELITY))])
_log = logging.getLogger(__name__)


def measure(
    videos: pa.Table, model: registry.ModelReference, *, num_seeds: int, on_progress: OnProgress
) -> dict[str, dict[str, Any]]:
    """Decode each video once, with the model's sampling, and measure it; Ray runs already.

    Args:
        videos: video_id, uri, and num_measured: clips of it whose reconstruction is measured.
        model: Whose sampling, architecture, head and decoder are used.
        num_seeds: Networks of fresh weights.
        on_progress: Told after every block of videos.
    Returns:
        By video_id, float32 arrays named as VECTORS and FIDELITY; a video that cannot be decoded is left out.
    """
    blocks = [videos.slice(start, _VIDEOS_A_BLOCK) for start in range(0, videos.num_rows, _VIDEOS_A_BLOCK)]
    workers = crew(cluster(), num_workers=None, num_decoders=None)
    device = "cuda" if workers.gpus_per_worker else "cpu"
    measured = map_with_actors(
        blocks,
        Measurer,
        (model, num_seeds, device),
        num_actors=workers.num_workers,
        cpus_per_actor=workers.cpus_per_worker,
        num_gpus=workers.gpus_per_worker,
    )
    found: dict[str, dict[str, Any]] = {}
    num_done = 0
    for batch in measured.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for row in batch.to_pylist():
            num_done += 1
            if row["pixels"] is not None:
                values = {name: np.asarray(row[name] or [], dtype=np.float32) for name in (*VECTORS, *FIDELITY)}
                found[row["video_id"]] = values
        on_progress(Progress("decode", num_done, videos.num_rows, num_done - len(found)))
    return found


class Measurer:
    """The Ray actor around a sandbox, the model, and the same network with fresh weights, one for each seed."""

    def __init__(self, model: registry.ModelReference, num_seeds: int, device: str):
        torch.set_num_threads(1)  # parallelism comes from actors
        loaded = load_checkpoint(registry.fetch(model))
        self._device = torch.device(device)
        self._model = loaded.model.to(self._device).eval()
        self._fresh = [fresh(loaded.model, seed).to(self._device) for seed in range(num_seeds)]
        self._sampling = SamplingConfig(**loaded.sampling)
        self._sandbox = Sandbox()

    def __call__(self, batch: pa.Table) -> pa.Table:
        return pa.Table.from_pylist([self._row(video) for video in batch.to_pylist()], schema=_SCHEMA)

    def _row(self, video: dict[str, Any]) -> dict[str, Any]:
        parts: dict[str, list[Tensor]] = {name: [] for name in (*VECTORS, *FIDELITY)}
        try:
            num_left = video["num_measured"]
            for x in self._batches(video["uri"]):
                self._measure(x, min(num_left, len(x)), parts)
                num_left = max(0, num_left - len(x))
        except (DecodeError, OSError) as e:
            _log.warning("A video is cut short or left out. where: %s got: %s", video["uri"], e)
        if not parts["pixels"]:
            return {"video_id": video["video_id"]}
        vectors = {name: torch.cat(parts[name]).mean(dim=0).tolist() for name in VECTORS if parts[name]}
        lists = {name: torch.cat(parts[name]).tolist() for name in FIDELITY if parts[name]}
        return {"video_id": video["video_id"], **vectors, **lists}

    def _batches(self, uri: str) -> Iterator[Tensor]:
        """Model input of a few clips at a time, float (B, 3, T, H, W) in [-1, 1]."""
        waiting: list[Tensor] = []
        with storage.open_object(uri) as source:
            for clip in self._sandbox.read_clips(source, self._sampling):
                waiting.append(torch.from_numpy(clip.frames))
                if len(waiting) == _BATCH_CLIPS:
                    yield to_model_input(torch.stack(waiting).to(self._device))
                    waiting = []
        if waiting:
            yield to_model_input(torch.stack(waiting).to(self._device))

    @torch.inference_mode()
    def _measure(self, x: Tensor, num_measured: int, parts: dict[str, list[Tensor]]) -> None:
        parts["pixels"].append(pooled_pixels(x).cpu())
        parts["differences"].append(pooled_differences(x).cpu())
        parts["descriptors"].append(pooled_descriptors(x).cpu())
        parts["random_init"].append(torch.cat([network.embed(x).cpu() for network in self._fresh], dim=1))
        if self._model.head is not None:
            parts["logits"].append(self._model.head(self._model.embed(x)).float().cpu())
        if num_measured:
            clips = x[:num_measured]
            pixels, rebuilt = to_unit(clips), to_unit(self._model.reconstruct(clips))
            parts["psnr_z"].append(psnr(pixels, rebuilt).cpu())
            parts["ssim_z"].append(ssim(pixels, rebuilt).cpu())
            alone = self._model.reconstruct_from_steps(clips)
            if alone is not None:
                parts["psnr_e"].append(psnr(pixels, to_unit(alone)).cpu())


def fresh(model: VideoAutoencoder, seed: int) -> VideoAutoencoder:
    """The same network with weights as before any training, in evaluation mode; a function of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(model.config, num_classes=0).eval()
