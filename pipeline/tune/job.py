"""A search for training settings: from which videos, how many trials, how long."""

from dataclasses import dataclass, field
from typing import Literal

from pipeline.decode.sampling import SamplingConfig
from pipeline.errors import ConfigError
from pipeline.train.config import TrainConfig
from pipeline.tune.space import SpaceName

Metric = Literal["probe", "r1", "recon_error"]


@dataclass(frozen=True)
class TuneJob:
    """One search."""

    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""
    trials: int = 16
    """Settings to try, at least 1; the first are the options given, unchanged."""
    max_epochs: int = 27
    """Epochs of the trials that are never stopped; replaces --epochs."""
    space: SpaceName = "small"
    """What is varied: learning rate, weight decay, corruption, contrast and its temperature; pipeline/tune/space.py."""
    metric: Literal["auto", "probe", "r1", "recon_error"] = "auto"
    """Score on the validation videos: accuracy of a linear probe of the frozen vectors, share whose nearest training
    video is of their class, or error of the reconstruction; auto: probe where there are labels, else recon_error."""
    group_column: str = "source_group"
    """Label attribute that names a video's source; videos of one source never stand in both training and validation."""
    split_column: str | None = None
    """Label attribute whose value is `train` on what may be looked at; every other video is left out."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """What is not varied."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    """How videos are cut into clips."""

    def __post_init__(self) -> None:
        for name in ("trials", "max_epochs"):
            if (value := getattr(self, name)) < 1:
                option = f"--{name.replace('_', '-')}"
                raise ConfigError("A number is out of range.", where=option, got=value, expected="at least 1")
        if self.train.validation_fraction == 0:
            expected = "more than 0: trials are scored on videos kept from training"
            raise ConfigError("There is nothing to score on.", where="--validation-fraction", got=0, expected=expected)
