"""A stream encoded slice by slice, with the same codes as the whole at once.

frames 0..3 4..7 8..11 ...   each causal block keeps the last two steps that it saw, and starts the next slice with them
   push    push  push         one vector e_t and one step of z for every 4 frames
"""

from typing import cast

import torch
from torch import Tensor, nn

from pipeline.errors import ConfigError
from pipeline.model.blocks import ResidualBlock
from pipeline.model.interface import Codes, VideoAutoencoder
from pipeline.model.sora import SoraAutoencoder


class StreamEncoder:
    """The causal encoder of one stream, or of a batch of streams in step; another stream takes another one.

    Args:
        model: A causal network in evaluation mode.
    Raises:
        ConfigError: the network looks at later frames too.
    """

    def __init__(self, model: VideoAutoencoder):
        if not (isinstance(model, SoraAutoencoder) and model.config.is_causal):
            raise ConfigError(
                "This network looks at later frames too, so a stream cannot be encoded as it comes.",
                where="model",
                got=model.config.name,
                expected="a causal one",
                cure="train with --config sora_xs_causal, or encode whole clips",
            )
        self._model = model
        self._past: dict[ResidualBlock, Tensor] = {}
        self._shape: tuple[int, ...] | None = None

    @torch.no_grad()  # the past would else hold the graph of every push before
    def push(self, x: Tensor) -> Codes:
        """Encode the next frames of the stream.

        Args:
            x: float (B, 3, 4k, H, W) in [-1, 1], k >= 1, H and W multiples of 16; B, H and W as in the first call.
        Returns:
            z (B, Z, k, H/8, W/8) and e_t (B, k, D) of these frames.
        Raises:
            ValueError: another shape.
        """
        strides = self._model.strides
        if x.ndim != 5 or x.shape[1] != 3 or any(s == 0 or s % m for s, m in zip(x.shape[2:], strides, strict=True)):
            raise ValueError(f"expected (B, 3, T, H, W) with T, H, W multiples of {strides}, got {tuple(x.shape)}")
        if not x.is_floating_point():
            raise ValueError(f"expected floating point in [-1, 1], got x.dtype = {x.dtype}; see decode.transform")
        shape = (x.shape[0], *x.shape[3:])
        if self._shape not in (None, shape):
            raise ValueError(f"expected (B, H, W) = {self._shape} as at the start of the stream, got {shape}")
        self._shape = shape
        codes: Codes = self._model.encoder(x, self._through)
        return codes

    def _through(self, layers: nn.Sequential, x: Tensor) -> Tensor:
        for layer in layers:
            if isinstance(layer, ResidualBlock):
                x, self._past[layer] = layer.follow(x, self._past.get(layer))
            elif isinstance(layer, nn.Sequential):
                x = self._through(layer, x)
            else:
                x = cast(Tensor, layer(x))
        return x
