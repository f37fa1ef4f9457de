"""A new file becomes vectors, as an extraction would make them: same sampling, same sandbox, same network.

file --Sandbox--> clips --batches of BATCH_CLIPS--> network --> one vector a slice
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline import registry, storage
from pipeline.decode.records import Clip
from pipeline.decode.sampling import SamplingConfig
from pipeline.decode.sandbox import Sandbox
from pipeline.errors import DecodeError
from pipeline.features.engine import BATCH_CLIPS
from pipeline.features.engine_choice import choose_engine
from pipeline.model.checkpoint import load_checkpoint


@dataclass(frozen=True)
class Embedded:
    """The vectors of one video, in the order of its slices.

    Args:
        model: What made them.
        uri: Where the video is.
        start_s, end_s: float64 (N,), seconds after the first shown frame.
        vectors: float32 (N, D), not normalised.
        recon_error, motion: float32 (N,), as in `features`.
        damage: What of the video did not decode; None: nothing.
    """

    model: registry.ModelReference
    uri: str
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    vectors: NDArray[np.float32]
    recon_error: NDArray[np.float32]
    motion: NDArray[np.float32]
    damage: str | None


def embed_file(root: str, path: str | Path, model: str = "champion", *, device: str = "cpu") -> Embedded:
    """Decode and encode one video.

    Args:
        root: The root's URI, for the model.
        path: The video: a path, file:// or s3:// URI.
        model: champion, a version number of the root, models:/NAME@ALIAS, or the URI of a checkpoint folder.
        device: Torch device of the network.
    Returns:
        One vector a slice, at least one; equal to what `sora extract` stores of the same bytes, to rounding.
    Raises:
        CheckpointError: the model reference leads nowhere.
        DecodeError: the file is missing or no video that decodes.
    """
    reference = registry.resolve(storage.normalize(root), model)
    loaded = load_checkpoint(registry.fetch(reference))
    place = torch.device(device)
    engine = choose_engine(loaded.model.to(place).eval(), device=place, wanted="torch")
    reading = _Reading(storage.normalize(str(path)), SamplingConfig(**loaded.sampling))
    clips, encoded = [], []
    with Sandbox() as sandbox:
        waiting = reading.clips(sandbox)
        while batch := list(islice(waiting, BATCH_CLIPS)):
            encoded.append(engine.run(torch.stack([torch.from_numpy(clip.frames) for clip in batch])))
            clips += [(clip.start_s, clip.end_s) for clip in batch]
    times_s = np.array(clips, np.float64)
    vectors, recon_error, motion = (torch.cat(parts).numpy() for parts in zip(*encoded, strict=True))
    return Embedded(
        reference, reading.uri, times_s[:, 0], times_s[:, 1], vectors, recon_error, motion, damage=reading.damage
    )


class _Reading:
    """The clips of a file; of a damaged one those that decode, and then what is damaged."""

    def __init__(self, uri: str, sampling: SamplingConfig):
        self.uri, self._sampling = uri, sampling
        self.damage: str | None = None

    def clips(self, sandbox: Sandbox) -> Iterator[Clip]:
        num_read = 0
        try:
            with storage.open_object(self.uri) as source:
                for clip in sandbox.read_clips(source, self._sampling):
                    num_read += 1
                    yield clip
        except OSError as e:
            raise DecodeError("The file cannot be read.", error_class="io_error", where=self.uri, got=e) from e
        except DecodeError as e:
            if e.error_class != "partial" or not num_read:
                places = {**e.parts(), "where": self.uri}
                raise DecodeError(e.what, error_class=e.error_class, **places) from e
            self.damage = str(e)
