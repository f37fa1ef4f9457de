"""The model as every contender but ours runs it: all that our table says of a clip, from one forward pass.

Needs torch, numpy and safetensors only, so that it runs in the peers' environments.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.decode.transform import to_model_input
from pipeline.model.checkpoint import load_checkpoint


class Network:
    """A checkpoint in memory.

    Args:
        folder: The checkpoint.
        num_threads: Of torch in this process; 1 where as many processes as cores encode.
    """

    def __init__(self, folder: str, *, num_threads: int):
        torch.set_num_threads(num_threads)
        self._model = load_checkpoint(Path(folder)).model.eval()

    @torch.inference_mode()
    def encoded(self, frames: NDArray[np.uint8]) -> dict[str, Any]:
        """Encode one batch of clips.

        Args:
            frames: uint8 (B, T, H, W, C) RGB.
        Returns:
            embedding float32 (B, D), recon_error (B,), motion (B,): what our table has of every clip.
        """
        x = to_model_input(torch.from_numpy(frames))  # (B, C, T, H, W)
        output = self._model(x)
        recon_error = (output.reconstruction - x).abs().mean(dim=(1, 2, 3, 4))
        motion = (x[:, :, 1:] - x[:, :, :-1]).abs().mean(dim=(1, 2, 3, 4))
        values = {"embedding": output.embedding, "recon_error": recon_error, "motion": motion}
        return {name: value.float().numpy() for name, value in values.items()}

    def in_batches(self, frames: NDArray[np.uint8], batch_size: int) -> dict[str, Any]:
        """The same of any number of clips, a batch at a time."""
        parts = [self.encoded(frames[start : start + batch_size]) for start in range(0, len(frames), batch_size)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
