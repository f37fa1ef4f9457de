"""What is tried: a declared space, and the points drawn from it, a pure function of seed and number."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

Setting = Mapping[str, float | int]
SpaceName = Literal["small"]


@dataclass(frozen=True)
class LogRange:
    """One field, spread evenly over the logarithm of [low, high]."""

    field: str
    low: float
    high: float

    def draw(self, chance: np.random.Generator) -> Setting:
        value = math.exp(chance.uniform(math.log(self.low), math.log(self.high)))
        return {self.field: float(f"{value:.3g}")}  # three digits say all there is to say


@dataclass(frozen=True)
class Options:
    """One of several settings, each of some fields that belong together."""

    settings: tuple[Setting, ...]

    def draw(self, chance: np.random.Generator) -> Setting:
        return self.settings[int(chance.integers(len(self.settings)))]


Axis = LogRange | Options

# Two views of a clip must differ, or telling them apart from others teaches nothing.
_VIEWS: Setting = {"min_crop_area": 0.36, "grey_probability": 0.2, "blur_probability": 0.3}
SPACES: dict[SpaceName, tuple[Axis, ...]] = {
    "small": (
        LogRange("learning_rate", 1e-3, 1e-2),
        LogRange("weight_decay", 5e-3, 0.5),
        Options(
            (
                {"mask_ratio": 0.0, "noise_std": 0.0, "frame_drop_ratio": 0.0},
                {"mask_ratio": 0.25, "noise_std": 0.05, "frame_drop_ratio": 0.1},
                {"mask_ratio": 0.5, "noise_std": 0.1, "frame_drop_ratio": 0.2},
            )
        ),
        Options(
            (
                {"instance_weight": 0.0},
                {"instance_weight": 0.2, "temperature": 0.1, **_VIEWS},
                {"instance_weight": 0.2, "temperature": 0.2, **_VIEWS},
                {"instance_weight": 1.0, "temperature": 0.1, **_VIEWS},
                {"instance_weight": 1.0, "temperature": 0.2, **_VIEWS},
            )
        ),
    ),
}
assert set(SPACES) == set(get_args(SpaceName))


def setting_of(space: SpaceName, number: int, *, seed: int) -> Setting:
    """What trial `number` sets; trial 0 sets nothing, so that the best is never worse than the options given.

    Args:
        space: Name of a declared space.
        number: >= 0; the same for any number of trials.
        seed: Another seed draws other points.
    """
    if number == 0:
        return {}
    chance = np.random.default_rng((seed, number))
    return {field: value for axis in SPACES[space] for field, value in axis.draw(chance).items()}


def rungs(max_epochs: int, *, reduction: int) -> list[int]:
    """Epochs after which a trial is scored: 1, r, r^2... and the last (ASHA: Li et al. 2020, arXiv:1810.05934).

    Args:
        max_epochs: At least 1.
        reduction: Only the best 1 of so many goes on at each; at least 2.
    """
    powers = []
    epoch = 1
    while epoch < max_epochs:
        powers.append(epoch)
        epoch *= reduction
    return [*powers, max_epochs]
