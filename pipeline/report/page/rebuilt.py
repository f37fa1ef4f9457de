"""Clips beside what the model makes of them: a few with the least, middle and greatest reconstruction error."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from pipeline import registry, storage
from pipeline.decode.records import Clip
from pipeline.decode.sampling import SamplingConfig
from pipeline.decode.sandbox import Sandbox
from pipeline.decode.transform import to_frames, to_model_input
from pipeline.errors import DecodeError, SoraError
from pipeline.evaluate.fidelity import psnr, to_unit
from pipeline.model.checkpoint import LoadedModel, load_checkpoint
from pipeline.report.page.frames import LIMITS, webp
from pipeline.tasks.slices import Slices

RANKS = (0.0, 0.02, 0.5, 0.52, 0.98, 1.0)  # of the clips ordered by reconstruction error
_LATEST_CLIP = 8  # a clip is reached through all clips before it
_SHOWN_FRAMES = 4
_FRAME_PX = 96


@dataclass(frozen=True)
class Rebuilt:
    """One clip: strips of some of its frames as WebP, or in words why there are none."""

    uri: str
    start_s: float
    recon_error: float
    psnr_db: float | None = None
    original: bytes = b""
    reconstruction: bytes = b""
    reason: str = ""


def rebuilt(slices: Slices, model: registry.ModelReference) -> list[Rebuilt]:
    """Decode a few clips, run the model on them, and draw both.

    Args:
        slices: Of this model; clips are chosen by their recon_error.
        model: The model.
    Raises:
        CheckpointError: the model's folder is damaged, or its sampling is not known.
    """
    rows = chosen_rows(slices.rows)
    if not rows:
        return []
    loaded = load_checkpoint(registry.fetch(model))
    with Sandbox(LIMITS) as sandbox:
        return [_rebuilt(loaded, sandbox, row) for row in slices.rows.take(rows).to_pylist()]


def chosen_rows(rows: pa.Table) -> list[int]:
    """Places of clips spread over the order of recon_error, no two of one video where there are enough."""
    known = pc.and_(pc.is_valid(rows["recon_error"]), pc.less(rows["clip_index"], _LATEST_CLIP))
    places = pc.indices_nonzero(known.combine_chunks()).to_numpy()
    errors = rows["recon_error"].to_numpy()[places]
    ordered = places[np.argsort(errors, kind="stable")].tolist()
    chosen: dict[str, int] = {}
    for rank in RANKS if ordered else ():
        start = round(rank * (len(ordered) - 1))
        for place in _outwards(ordered, start):
            if chosen.setdefault(rows["video_id"][place].as_py(), place) == place:
                break
    return list(chosen.values())


def _outwards(ordered: Sequence[int], start: int) -> Iterator[int]:
    """The places from `start` on, then those before it, and no more than a few."""
    yield from islice([*ordered[start : start + 8], *ordered[max(0, start - 8) : start][::-1]], 16)


def _rebuilt(loaded: LoadedModel, sandbox: Sandbox, row: dict[str, object]) -> Rebuilt:
    head = str(row["uri"]), float(str(row["start_s"])), float(str(row["recon_error"]))
    try:
        clip = _clip(sandbox, head[0], SamplingConfig(**loaded.sampling), int(str(row["clip_index"])))
    except DecodeError as e:
        return Rebuilt(*head, reason=e.error_class.replace("_", " "))
    except (OSError, SoraError) as e:
        return Rebuilt(*head, reason=f"it cannot be read: {type(e).__name__}")
    if clip is None:
        return Rebuilt(*head, reason="the clip is not there any more")
    with torch.inference_mode():
        x = to_model_input(torch.from_numpy(clip.frames)[None])
        y = loaded.model.reconstruct(x)
        quality = float(psnr(to_unit(x), to_unit(y))[0])
    return Rebuilt(*head, quality, _strip(clip.frames), _strip(to_frames(y)[0].numpy()))


def _clip(sandbox: Sandbox, uri: str, config: SamplingConfig, clip_index: int) -> Clip | None:
    with storage.open_object(uri) as source:
        return next(islice(sandbox.read_clips(source, config), clip_index, None), None)


def _strip(clip: NDArray[np.uint8]) -> bytes:
    """Some frames, (T, H, W, C), side by side."""
    shown = np.linspace(0, len(clip) - 1, min(_SHOWN_FRAMES, len(clip))).round().astype(int)
    pixels = np.concatenate(list(clip[shown]), axis=1)  # (H, n W, C)
    return webp(np.ascontiguousarray(pixels), size=(_FRAME_PX * len(shown), _FRAME_PX), quality=70)
