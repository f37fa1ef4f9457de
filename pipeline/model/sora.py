"""Our networks: Haar stem, residual (2+1)D stages, two codes, mirrored decoder.

x (3, T, H, W) -> haar (24, T/2, H/2, W/2)
  stage 1 (T/2, H/2) -> stage 2 (T/4, H/4) -> stage 3 (T/4, H/8) -> stage 4 (T/4, H/16)
                                                   |                      |
                                                   z                     e_t  = linear(mean over space)
                                                   |                      |
  inverse haar <- stage 1 <- stage 2 <- stage 3 <- + <------ linear ------+
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from pipeline.model.blocks import ChannelNorm, Down, Pointwise, Stage, Up
from pipeline.model.config import ModelConfig
from pipeline.model.haar import Factors, haar, inverse_haar
from pipeline.model.interface import Codes, VideoAutoencoder

HAAR_CHANNELS = 24  # 8 bands of 3 colours
STAGE_FACTORS: tuple[Factors, Factors, Factors] = ((2, 2, 2), (1, 2, 2), (1, 2, 2))  # between stages 1-2, 2-3, 3-4


Through = Callable[[nn.Sequential, Tensor], Tensor]  # how a row of layers is applied


class SoraAutoencoder(VideoAutoencoder):
    """The `sora` family; widths and depths decide which member."""

    strides: Factors = (4, 16, 16)

    def __init__(self, config: ModelConfig, *, num_classes: int):
        super().__init__(config, num_classes=num_classes)
        self.encoder = _Encoder(config)
        self.decoder = _Decoder(config)
        if num_classes > 0:
            # The norm frees the head from the embedding's length, which carries how much is going on in the clip.
            self.head = nn.Sequential(nn.LayerNorm(config.embedding_dim), nn.Linear(config.embedding_dim, num_classes))

    def _encode(self, x: Tensor) -> Codes:
        codes: Codes = self.encoder(x)
        return codes

    def _autoencode(self, x: Tensor) -> tuple[Codes, Tensor, Tensor]:
        codes, deep = self.encoder.codes_and_deep(x)
        return codes, self.decoder(codes), self.encoder.steps(deep.movedim(1, -1))

    def reconstruct_from_steps(self, x: Tensor) -> Tensor:
        T, H, W = x.shape[2:]
        codes = self.encode(x)
        rebuilt: Tensor = self.decoder(codes._replace(latent=torch.zeros_like(codes.latent)))
        return rebuilt[:, :, :T, :H, :W]


class _Encoder(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        w1, w2, w3, w4 = config.widths
        d1, d2, d3, d4 = config.depths
        down12, down23, down34 = STAGE_FACTORS
        stage = partial(Stage, is_causal=config.is_causal)
        self.stem = Pointwise(HAAR_CHANNELS, w1)
        self.stages_to_latent = nn.Sequential(
            stage(w1, d1), Down(w1, w2, down12), stage(w2, d2), Down(w2, w3, down23), stage(w3, d3)
        )
        self.latent = Pointwise(w3, config.latent_channels)
        self.stages_to_steps = nn.Sequential(Down(w3, w4, down34), stage(w4, d4), ChannelNorm(w4))
        self.steps = nn.Linear(w4, config.embedding_dim)

    def forward(self, x: Tensor, through: Through = lambda layers, x: layers(x)) -> Codes:
        return self.codes_and_deep(x, through)[0]

    def codes_and_deep(self, x: Tensor, through: Through = lambda layers, x: layers(x)) -> tuple[Codes, Tensor]:
        """The codes, and the deepest features, (B, w4, T/4, H/16, W/16)."""
        features = through(self.stages_to_latent, self.stem(haar(x)))  # (B, w3, T/4, H/8, W/8)
        deep = through(self.stages_to_steps, features)  # (B, w4, T/4, H/16, W/16)
        pooled = deep.mean(dim=(3, 4)).transpose(1, 2)  # (B, T/4, w4)
        return Codes(self.latent(features), self.steps(pooled)), deep


class _Decoder(nn.Module):
    """Rebuilds the clip from z, told by e_t what the whole frame is about.

    So e_t learns from the pixels too, and every parameter gets a gradient without a single label.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        w1, w2, w3, _ = config.widths
        d1, d2, d3, _ = config.depths
        up12, up23, _ = STAGE_FACTORS
        self.from_latent = Pointwise(config.latent_channels, w3)
        self.from_steps = nn.Linear(config.embedding_dim, w3)
        self.stages = nn.Sequential(Stage(w3, d3), Up(w3, w2, up23), Stage(w2, d2), Up(w2, w1, up12), Stage(w1, d1))
        self.to_haar = Pointwise(w1, HAAR_CHANNELS)

    def forward(self, codes: Codes) -> Tensor:
        frame = self.from_steps(codes.steps).transpose(1, 2)[..., None, None]  # (B, w3, T/4, 1, 1)
        features = self.from_latent(codes.latent) + frame  # (B, w3, T/4, H/8, W/8)
        return inverse_haar(self.to_haar(self.stages(features)))
