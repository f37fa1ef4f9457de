"""The article's network, corrected where the printed code cannot run; docs/model.md lists every correction.

x (3, T, H, W)
  encoder   conv 3->64 k3 s1, conv 64->128 k3 s2     (128, T/2, H/2, W/2)
  residual  3 blocks of 128                          (128, T/2, H/2, W/2)   = z
  decoder   deconv 128->64 k2 s2, conv 64->64 k3     (64, T, H, W)  -> conv 64->3 k1 = reconstruction
  compress  mean over space, dense 64                (T, 64)        = e_t, the mean of which goes to dense K
"""

import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.model.config import ModelConfig
from pipeline.model.haar import Factors, pad_to_multiple
from pipeline.model.interface import Codes, VideoAutoencoder

_PLACE = (4, 16, 16)  # frames, px, px


class ArticleAutoencoder(VideoAutoencoder):
    """Encoder, residual blocks, decoder, autoencoder compression, softmax head: the order of the article's text."""

    strides: Factors = (2, 2, 2)

    def __init__(self, config: ModelConfig, *, num_classes: int):
        super().__init__(config, num_classes=num_classes)
        w1, w2 = config.widths
        d1, d2 = config.depths
        self.encoder = nn.Sequential(_conv(3, w1), *_blocks(w1, d1), _conv(w1, w2, stride=2), *_blocks(w2, d2))
        upsample = nn.ConvTranspose3d(w2, w1, kernel_size=2, stride=2)
        self.decoder = nn.Sequential(upsample, nn.BatchNorm3d(w1), nn.ReLU(), _conv(w1, w1))
        self.to_pixels = nn.Conv3d(w1, 3, kernel_size=1)
        self.compress = nn.Linear(w1, config.embedding_dim)
        if num_classes > 0:
            self.head = nn.Linear(config.embedding_dim, num_classes)

    def _encode(self, x: Tensor) -> Codes:
        return self._autoencode(x)[0]

    def _autoencode(self, x: Tensor) -> tuple[Codes, Tensor, Tensor]:
        latent = self.encoder(x)  # (B, w2, T/2, H/2, W/2)
        features = self.decoder(latent)  # (B, w1, T, H, W)
        pooled = features.mean(dim=(3, 4)).transpose(1, 2)  # (B, T, w1)
        places = F.avg_pool3d(pad_to_multiple(features, _PLACE), _PLACE).movedim(1, -1)
        return Codes(latent, self.compress(pooled)), self.to_pixels(features), self.compress(places)


class _ResidualBlock(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.first = _conv(width, width)
        self.second = nn.Sequential(nn.Conv3d(width, width, kernel_size=3, padding=1), nn.BatchNorm3d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


def _blocks(width: int, depth: int) -> list[_ResidualBlock]:
    return [_ResidualBlock(width) for _ in range(depth)]


def _conv(width: int, next_width: int, *, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv3d(width, next_width, kernel_size=3, stride=stride, padding=1)
    return nn.Sequential(conv, nn.BatchNorm3d(next_width), nn.ReLU())
