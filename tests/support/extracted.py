"""Roots whose vectors come from real footage through the real encoder, in this process: no Ray starts."""

import datetime
from collections.abc import Sequence
from pathlib import Path

import torch

from pipeline import registry, schema, storage, tables
from pipeline.decode.sampling import SamplingConfig
from pipeline.features.encoder import Encoder, Lineage
from pipeline.model.autoencoder import build_model
from pipeline.model.checkpoint import save_checkpoint
from pipeline.model.config import sora_xs


def extracted_root(folder: Path, videos: Sequence[Path], *, sampling: SamplingConfig) -> str:
    """A root with the videos and their vectors under a network with fresh weights; returns its URI."""
    root = storage.normalize(str(folder / "root"))
    tables.create_missing(root)
    torch.manual_seed(0)
    save_checkpoint(
        folder / "model", build_model(sora_xs(), num_classes=0), labels=(), sampling=vars(sampling), metrics={}
    )
    model = registry.publish(root, folder / "model")
    registry.promote(root, model.version)
    found = [storage.info(storage.normalize(str(path))) for path in videos]
    rows = [{"video_id": schema.video_id(one.uri), "uri": one.uri, "version": one.version} for one in found]
    tables.append_rows(root, "videos", [{**row, "status": "ok"} for row in rows])
    encoder = Encoder(Lineage(root, model, "0" * 16, datetime.date(2026, 11, 1)))
    result = encoder.extract([{**row, "attempts": 0} for row in rows])
    assert not result.failures, result.failures
    tables.TableWriter(root, "features").commit(result.files)
    return root
