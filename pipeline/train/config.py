"""What one training run is: a frozen value; its field texts are the help of `sora train`."""

import math
from dataclasses import dataclass

from pipeline.errors import ConfigError
from pipeline.model.config import named_config


@dataclass(frozen=True)
class TrainConfig:
    """How to train."""

    config: str = "sora_xs"
    """Network: sora_xs (0.30 GMAC a clip of 16x64x64, trains on CPU) or article (31.7 GMAC, wants a GPU)."""

    epochs: int = 30
    """Passes over the training clips. 60 for a few dozen clips, 30 for hundreds; aim at 300 to 3,000 steps in all."""

    batch_size: int = 8
    """Clips per step and per worker; 2 workers of 4 equal 1 of 8. The article takes 32."""

    learning_rate: float = 3e-3
    """Peak rate of AdamW, reached after the warm-up. 2e-3 to 4e-3 suit sora_xs; the article takes 1e-4."""

    warmup_fraction: float = 0.1
    """Share of all steps during which the rate climbs in a straight line, before its cosine fall to zero; in [0, 1)."""

    weight_decay: float = 0.05
    """AdamW's decoupled decay, on matrices and kernels only, never on biases and norms. The article takes 0."""

    gradient_clip_norm: float = 1.0
    """Longest allowed gradient over all parameters; a longer one is scaled down, so no odd clip undoes an epoch."""

    reconstruction_weight: float = 1.0
    """Weight of the L1 between rebuilt and clean clip, in units of [-1, 1]. 0 trains on labels only."""

    haar_weight: float = 0.1
    """Weight of the L1 between their Haar bands: sharper edges and motion than pixels alone. 0 leaves it out."""

    classification_weight: float = 1.0
    """Weight of the cross-entropy on labelled clips; without labels the term is absent. 0 learns from pixels only."""

    label_smoothing: float = 0.1
    """Share of each target spread over all classes, in [0, 1): fewer overconfident answers from few labels."""

    colour_jitter: float = 0.35
    """How far each clip's colours are stretched and shifted, as by another camera; in [0, 1). 0 leaves them."""

    mask_ratio: float = 0.25
    """Largest share of a clip hidden in cubes of 4 frames x 8 x 8 px; every clip draws its own below it. In [0, 1)."""

    noise_std: float = 0.05
    """Largest standard deviation of noise on the input, in units of [-1, 1]; every clip draws its own below it."""

    frame_drop_ratio: float = 0.1
    """Chance of a frame to be hidden from the network, which must rebuild it from its neighbours. In [0, 1)."""

    validation_fraction: float = 0.2
    """Share of the videos kept apart to measure on, in [0, 1); whole videos, never some of their clips."""

    num_workers: int = 1
    """Processes that train together, each with its own batch (DistributedDataParallel). One per GPU or 2 CPU cores."""

    max_failures: int = 2
    """How often a run that lost a worker starts again from its last checkpoint before it gives up."""

    seed: int = 0
    """Decides weights, data order, split and corruption: the same seed on the same machine gives the same run."""

    def __post_init__(self) -> None:
        named_config(self.config)
        self._require_at_least(1, "epochs", "batch_size", "num_workers")
        self._require_at_least(0, "seed", "max_failures", "weight_decay", "noise_std")
        self._require_at_least(0, "reconstruction_weight", "haar_weight", "classification_weight")
        for name in ("learning_rate", "gradient_clip_norm"):
            if not (math.isfinite(value := getattr(self, name)) and value > 0):
                raise _wrong(name, value, "a number > 0")
        fractions = ("colour_jitter", "mask_ratio", "frame_drop_ratio", "label_smoothing")
        for name in (*fractions, "validation_fraction", "warmup_fraction"):
            if not 0 <= getattr(self, name) < 1:
                raise _wrong(name, getattr(self, name), "a share in [0, 1)")
        if self.reconstruction_weight + self.haar_weight + self.classification_weight == 0:
            raise _wrong("reconstruction_weight", 0, "at least one of the three loss weights above 0")

    def _require_at_least(self, least: int, *names: str) -> None:
        for name in names:
            if not (math.isfinite(value := getattr(self, name)) and value >= least):
                raise _wrong(name, value, f"a number >= {least}")


def _wrong(name: str, got: object, expected: object) -> ConfigError:
    option = "--" + name.replace("_", "-")
    return ConfigError(f"a training option has a wrong value: {name}", where=option, got=got, expected=expected)
