"""What every network of ours does, whatever is inside: the door checks, the padding, the embedding."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from pipeline.model.config import ModelConfig
from pipeline.model.descriptors import CELLS, CHANNELS, DESCRIBED
from pipeline.model.haar import Factors, pad_to_multiple

PROJECTED = 128


class Codes(NamedTuple):
    """The two codes of a batch of clips.

    Args:
        latent: z, float (B, Z, t, h, w): what the decoder rebuilds the clip from.
        steps: e_t, float32 (B, T', D): one vector per time step; their mean is the embedding.
    """

    latent: Tensor
    steps: Tensor


class Output(NamedTuple):
    """All that one forward pass gives.

    Args:
        reconstruction: float (B, 3, T, H, W), around [-1, 1], not clamped.
        latent: z, float (B, Z, t, h, w).
        embedding: float32 (B, D), the mean over time of e_t; its length is kept.
        logits: float32 (B, K), or None for a network without classes.
        projected: float32 (B, P), the embedding behind the projection that contrast between clips is taken of.
        projected_steps: float32 (B, T', P), likewise each e_t.
        described: float32 (B, 40, 2, 3, 3), what the embedding tells of the clip's `descriptors`.
        described_places: float32 (B, 40, t, h, w), what the vector of each place tells of those of the place.
    """

    reconstruction: Tensor
    latent: Tensor
    embedding: Tensor
    logits: Tensor | None
    projected: Tensor
    projected_steps: Tensor
    described: Tensor
    described_places: Tensor


class VideoAutoencoder(nn.Module, ABC):
    """A video autoencoder with a spatial code, one vector per time step, and an optional softmax head.

    Args:
        config: The network's shape.
        num_classes: Classes of the head; 0 builds no head.
    """

    strides: Factors  # T, H and W are padded up to multiples of these, and the reconstruction cropped back

    def __init__(self, config: ModelConfig, *, num_classes: int):
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.embedding_dim = config.embedding_dim
        self.head: nn.Module | None = None
        # Contrast is taken behind these, so that e_t keeps what contrast would throw away (Chen et al. 2020, SimCLR).
        self.project_views = projection(config.embedding_dim)
        self.project_steps = projection(config.embedding_dim)
        # One layer each: what they tell of edges and motion lies plainly in e.
        self.describe = _telling(config.embedding_dim, DESCRIBED)
        self.describe_places = _telling(config.embedding_dim, CHANNELS)

    @abstractmethod
    def _encode(self, x: Tensor) -> Codes:
        """The codes of a padded batch."""

    @abstractmethod
    def _autoencode(self, x: Tensor) -> tuple[Codes, Tensor, Tensor]:
        """The codes and the reconstruction of a padded batch, and a vector of every place, (B, t, h, w, D).

        The mean over space of the last is e_t, or that of some e_t.
        """

    def encode(self, x: Tensor) -> Codes:
        """Return both codes of float clips (B, 3, T, H, W) in [-1, 1]; sizes are padded up, so t = ceil(T / stride)."""
        return self._encode(self._padded(x))

    def forward(self, x: Tensor) -> Output:
        """Encode, decode and classify float clips (B, 3, T, H, W) in [-1, 1].

        Raises:
            ValueError: another shape, dtype or number of channels.
        """
        padded = self._padded(x)
        T, H, W = x.shape[2:]
        codes, reconstruction, places = self._autoencode(padded)
        embedding = _mean_over_time(codes.steps)
        logits = None if self.head is None else self.head(embedding)
        return Output(
            reconstruction[:, :, :T, :H, :W],
            codes.latent,
            embedding,
            logits,
            self.project_views(embedding),
            self.project_steps(codes.steps.float()),
            self.describe(embedding).unflatten(1, (CHANNELS, *CELLS)),
            self.describe_places(places).movedim(-1, 1),
        )

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the reconstruction, float (B, 3, T, H, W), around [-1, 1], not clamped."""
        return self.forward(x).reconstruction

    def reconstruct_from_steps(self, x: Tensor) -> Tensor | None:
        """Return what is rebuilt from e_t alone, z being zero; None for a network that does not decode from e_t."""
        return None

    def embed(self, x: Tensor) -> Tensor:
        """Return the embedding, float32 (B, D): the mean over time of e_t, its length kept."""
        return _mean_over_time(self.encode(x).steps)

    def _padded(self, x: Tensor) -> Tensor:
        if x.ndim != 5 or x.shape[1] != 3 or x.numel() == 0:
            raise ValueError(f"expected (B, C, T, H, W) with C = 3 and no size 0, got x.shape = {tuple(x.shape)}")
        if not x.is_floating_point():
            raise ValueError(f"expected floating point in [-1, 1], got x.dtype = {x.dtype}; see decode.transform")
        return pad_to_multiple(x, self.strides)


def projection(width: int) -> nn.Sequential:
    """Two layers for training alone; (..., D) -> (..., 128)."""
    return nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, PROJECTED))


def _telling(width: int, num_told: int) -> nn.Linear:
    """A layer that first says of every clip what is true of an empty one, so that e is not shaken by its noise."""
    layer = nn.Linear(width, num_told)
    nn.init.zeros_(layer.weight)
    nn.init.ones_(layer.bias)
    return layer


def _mean_over_time(steps: Tensor) -> Tensor:
    """(B, T', D) -> float32 (B, D)."""
    return steps.float().mean(dim=1)
