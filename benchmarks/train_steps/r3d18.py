"""R3D-18, the control: 18 layers of 3x3x3 convolutions (Tran et al. 2018, arXiv:1711.11248), labels only."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.model.autoencoder import Output


class R3D18(nn.Module):
    """33.2 M parameters. Its output has the form of our networks', with nothing rebuilt."""

    def __init__(self, *, num_classes: int):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv3d(3, 64, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False), nn.BatchNorm3d(64))
        widths, layers = (64, 64, 128, 256, 512), []
        for width, next_width in pairwise(widths):
            stride = 1 if width == next_width else 2
            layers += [_Block(width, next_width, stride), _Block(next_width, next_width, 1)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(512, num_classes)

    def embed(self, x: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, 512)."""
        features: Tensor = self.layers(F.relu(self.stem(x))).mean(dim=(2, 3, 4))
        return features

    def forward(self, x: Tensor) -> Output:
        embedding = self.embed(x)
        nothing = embedding[:, :1]
        return Output(x, nothing, embedding, self.head(embedding), nothing, nothing[:, None], nothing, nothing)


class _Block(nn.Module):
    def __init__(self, width: int, next_width: int, stride: int):
        super().__init__()
        self.first = nn.Sequential(nn.Conv3d(width, next_width, 3, stride, 1, bias=False), nn.BatchNorm3d(next_width))
        self.second = nn.Sequential(nn.Conv3d(next_width, next_width, 3, 1, 1, bias=False), nn.BatchNorm3d(next_width))
        self.short: nn.Module = nn.Identity()
        if stride != 1 or width != next_width:
            self.short = nn.Sequential(nn.Conv3d(width, next_width, 1, stride, bias=False), nn.BatchNorm3d(next_width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.short(x) + self.second(F.relu(self.first(x))))
