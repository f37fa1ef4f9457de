"""What turns frames into vectors: a network, and a way to run it.

frames uint8 (B, T, H, W, C) --Engine.run--> embedding (B, D), recon_error (B,), motion (B,)

`torch` runs the network as it was trained, and is what every other engine is held against. The others are candidates
(engine_candidates.py); a worker takes one that has proven itself (engine_choice.py).
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from pipeline.decode.transform import to_model_input
from pipeline.model.interface import Output

BATCH_CLIPS = 16
REFERENCE, EIGHT_BITS = "torch", "int8"


class Encoded(NamedTuple):
    """What is known of a batch of clips; float32.

    Args:
        embedding: (B, D), one vector a clip.
        recon_error: (B,), mean |x - reconstruction|, x in [-1, 1].
        motion: (B,), mean |x_t+1 - x_t|, x in [-1, 1]; 0 for clips of one frame.
    """

    embedding: Tensor
    recon_error: Tensor
    motion: Tensor


class Engine(Protocol):
    """A way to run a network."""

    @property
    def name(self) -> str:
        """What logs and counts call it."""

    def run(self, frames: Tensor) -> Encoded:
        """Encode uint8 frames (B, T, H, W, C) RGB, 1 <= B <= BATCH_CLIPS; the results are on the CPU."""


class TorchEngine:
    """Runs a network step by step.

    Args:
        name: What logs and counts call it.
        network: Clips (B, 3, T, H, W) to Output; in evaluation mode, on the device.
        device: Where it runs.
        memory_format: Of its input: channels_last_3d for a network whose weights are so.
        autocast: Lower precision to compute in, where torch holds it to be safe.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module | Callable[[Tensor], Output],
        *,
        device: torch.device,
        memory_format: torch.memory_format = torch.contiguous_format,
        autocast: torch.dtype | None = None,
    ):
        self.name = name
        self._network, self._device = network, device
        self._memory_format, self._autocast = memory_format, autocast

    @torch.inference_mode()
    def run(self, frames: Tensor) -> Encoded:
        """Encode uint8 frames (B, T, H, W, C) RGB."""
        return on_cpu(self.compute(frames.to(self._device)))

    def compute(self, frames: Tensor) -> Encoded:
        """The same for frames on the device; the results stay there."""
        x = to_model_input(frames).contiguous(memory_format=self._memory_format)  # (B, C, T, H, W)
        with torch.autocast(self._device.type, self._autocast, enabled=self._autocast is not None):
            output: Output = self._network(x)
        recon_error = (output.reconstruction - x).abs().mean(dim=(1, 2, 3, 4))
        motion = (x[:, :, 1:] - x[:, :, :-1]).abs().mean(dim=(1, 2, 3, 4)) if x.shape[2] > 1 else 0 * recon_error
        return Encoded(output.embedding, recon_error, motion)


class FixedBatchEngine:
    """An engine whose batches all have BATCH_CLIPS clips, around a function that can take no others.

    Args:
        name: What logs and counts call it.
        compute: Frames (BATCH_CLIPS, T, H, W, C) on the device to results on any device.
        device: Where it runs.
    """

    def __init__(self, name: str, compute: Callable[[Tensor], Encoded], *, device: torch.device):
        self.name = name
        self._compute, self._device = compute, device

    @torch.inference_mode()
    def run(self, frames: Tensor) -> Encoded:
        """Encode uint8 frames (B, T, H, W, C) RGB; the last clip is repeated until the batch is full."""
        num_clips = len(frames)
        if not 0 < num_clips <= BATCH_CLIPS:
            raise ValueError(f"expected 1 to {BATCH_CLIPS} clips, got frames.shape = {tuple(frames.shape)}")
        full = torch.cat([frames, frames[-1:].expand(BATCH_CLIPS - num_clips, *frames.shape[1:])])
        return on_cpu(Encoded(*(values[:num_clips] for values in self._compute(full.to(self._device)))))


def on_cpu(encoded: Encoded) -> Encoded:
    """The same as float32 on the CPU."""
    return Encoded(*(values.float().cpu() for values in encoded))
