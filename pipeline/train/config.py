"""What one training run is: a frozen value; its field texts are the help of `sora train`."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from pipeline.errors import ConfigError
from pipeline.model.config import named_config

WEIGHTS = (
    "reconstruction_weight",
    "haar_weight",
    "classification_weight",
    "instance_weight",
    "local_weight",
    "global_local_weight",
    "supervised_contrast_weight",
    "variance_weight",
    "covariance_weight",
    "descriptor_weight",
)
Precision = Literal["fp32", "bf16"]
_CHANCES = (
    "flip_probability",
    "grey_probability",
    "blur_probability",
    "erase_probability",
    "residual_probability",
)


@dataclass(frozen=True)
class TrainConfig:
    """How to train."""

    config: str = "sora_xs"
    """Network: sora_xs (0.30 GMAC a clip of 16x64x64, trains on CPU), sora_s, sora_m, sora_l (encoders of 0.8, 2.7 and
    6.6 GMAC, want a GPU), one of these with _causal (looks at earlier frames only), or article (31.7 GMAC)."""

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

    ema_decay: float = 0.999
    """Share of the averaged weights that a step keeps, in [0, 1); the averaged ones are measured and published. Early
    steps keep less: the average reaches back over a ninth of the run at most. 0 publishes the last step's weights."""

    reconstruction_weight: float = 1.0
    """Weight of the L1 between rebuilt and clean clip, in units of [-1, 1]. 0 trains on labels only."""

    haar_weight: float = 0.1
    """Weight of the L1 between their Haar bands: sharper edges and motion than pixels alone. 0 leaves it out."""

    classification_weight: float = 0.1
    """Weight of the cross-entropy on labelled clips; without labels the term is absent. 0 learns from pixels only; at 1
    a network learns a few hundred clips by heart before it has learned to see motion."""

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

    instance_weight: float = 0.0
    """Weight of the contrast between views of one clip and those of the others; above 0, each clip is seen twice."""

    local_weight: float = 0.0
    """Weight of the contrast between moments of one clip: the same moment in its two views, against the others."""

    global_local_weight: float = 0.0
    """Weight of the contrast between a whole view and the moments of the other: inside its span, against outside."""

    supervised_contrast_weight: float = 0.0
    """Weight of the contrast between clips of one class and those of the others; needs labels."""

    variance_weight: float = 0.0
    """Weight of the hinge that keeps each dimension of the embedding varying over a batch."""

    covariance_weight: float = 0.0
    """Weight of the squared covariances between dimensions of the embedding."""

    descriptor_weight: float = 1.0
    """Weight of telling, from the embedding alone, which way edges and motion of the clip go, and where: most of what
    vectors learned without labels are worth. 0 leaves it out."""

    temperature: float = 0.1
    """What similarities are divided by in every contrast; the smaller, the more the nearest others count. Above 0."""

    view_frames: int = 0
    """Frames of a view, cut from the clip at random; 0 takes the whole clip. Half a clip leaves room to differ."""

    max_speed: int = 1
    """Fastest speed of a view, where the clip is long enough: 1, 2 or 4 times."""

    min_crop_area: float = 0.6
    """Smallest share of the picture that a view shows, in (0, 1]: few clips are not learned by heart so soon. 1 crops
    nothing; contrast wants 0.36."""

    flip_probability: float = 0.0
    """Chance of a view to be mirrored, in [0, 1). Leave 0 where left and right mean something."""

    grey_probability: float = 0.0
    """Chance of a view to lose its colours, in [0, 1)."""

    blur_probability: float = 0.0
    """Chance of a view to be smoothed, in [0, 1)."""

    erase_probability: float = 0.0
    """Chance of a view to lose a box, in [0, 1); it is not to be rebuilt either."""

    residual_probability: float = 0.0
    """Chance of a view to show differences of frames instead of frames, in [0, 1)."""

    validation_fraction: float = 0.2
    """Share of the videos kept apart to measure on, in [0, 1); whole videos, never some of their clips."""

    num_workers: int = 1
    """Processes that train together, each with its own batch (DistributedDataParallel). One per GPU or 2 CPU cores."""

    min_workers: int = 0
    """Fewest of them to go on with where machines are taken away; those that come back join within a minute. 0: all."""

    max_failures: int = 2
    """How often a run that lost a worker starts again from its last checkpoint before it gives up."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """What forward and backward pass compute with; auto: bf16 where a self-test finds it right and faster. Weights,
    losses and everything measured are fp32."""

    seed: int = 0
    """Decides weights, data order, split and corruption: the same seed on the same machine gives the same run."""

    def __post_init__(self) -> None:
        named_config(self.config)
        self._require_at_least(1, "epochs", "batch_size", "num_workers")
        self._require_at_least(0, "seed", "max_failures", "weight_decay", "noise_std")
        self._require_at_least(0, *WEIGHTS)
        self._require_at_least(0, "view_frames", "min_workers")
        if self.min_workers > self.num_workers:
            raise _wrong("min_workers", self.min_workers, f"at most --num-workers, {self.num_workers}")
        for name in ("learning_rate", "gradient_clip_norm", "temperature", "min_crop_area"):
            if not (math.isfinite(value := getattr(self, name)) and value > 0):
                raise _wrong(name, value, "a number > 0")
        fractions = ("colour_jitter", "mask_ratio", "frame_drop_ratio", "label_smoothing")
        for name in (*fractions, *_CHANCES, "validation_fraction", "warmup_fraction", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise _wrong(name, getattr(self, name), "a share in [0, 1)")
        if self.min_crop_area > 1:
            raise _wrong("min_crop_area", self.min_crop_area, "a share in (0, 1]")
        if self.precision not in ("auto", *get_args(Precision)):
            raise _wrong("precision", self.precision, "auto, fp32 or bf16")
        if self.max_speed not in (1, 2, 4):
            raise _wrong("max_speed", self.max_speed, "1, 2 or 4")
        if sum(getattr(self, name) for name in WEIGHTS) == 0:
            raise _wrong("reconstruction_weight", 0, "at least one of the loss weights above 0")

    @property
    def least_workers(self) -> int:
        """Workers without which the run waits."""
        return self.min_workers or self.num_workers

    @property
    def num_views(self) -> int:
        """Views that a step takes of every clip: 2 where views of one clip are compared."""
        return 2 if self.instance_weight + self.local_weight + self.global_local_weight > 0 else 1

    def _require_at_least(self, least: int, *names: str) -> None:
        for name in names:
            if not (math.isfinite(value := getattr(self, name)) and value >= least):
                raise _wrong(name, value, f"a number >= {least}")


def _wrong(name: str, got: object, expected: object) -> ConfigError:
    option = "--" + name.replace("_", "-")
    return ConfigError(f"a training option has a wrong value: {name}", where=option, got=got, expected=expected)
