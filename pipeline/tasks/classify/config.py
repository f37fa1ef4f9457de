"""What to train a head on, what to predict with it, what to report."""

import re
from dataclasses import dataclass
from typing import Literal

from pipeline.errors import ConfigError

Kind = Literal["logistic", "mlp"]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class TrainConfig:
    """Which labelled vectors, what kind of head, how it is validated."""

    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""
    name: str = "main"
    """Name of the head: letters, digits, - and _. The same name again is its next version."""
    model: str = "champion"
    """champion, a version number of the root, models:/NAME@ALIAS, or the URI of a checkpoint folder."""
    kind: Kind = "logistic"
    """logistic: the linear probe of `sora evaluate`. mlp: one hidden layer of 128."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: rare classes weigh as much as frequent ones."""
    group_column: str = "source_group"
    """Label attribute that names a video's source; whole sources are held out, never single videos. Videos without it
    are sources of their own."""
    split_column: str | None = None
    """Label attribute that says `train` or `test`: the head learns from the first and is tested on the second. Left
    out: it is cross-validated by source, and then learns from all labelled videos."""
    folds: int = 5
    """Parts for cross-validation and calibration, at least 2; fewer where there are fewer sources."""
    seed: int = 0
    """Of the validation sources, of the folds, and of the first weights of an MLP."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            expected = "1 to 64 letters, digits, - and _, the first a letter or digit"
            raise ConfigError("That is no name for a head.", where="--name", got=self.name, expected=expected)
        if self.folds < 2:
            raise ConfigError("A number is out of range.", where="--folds", got=self.folds, expected="at least 2")
        if self.seed < 0:
            raise ConfigError("A number is out of range.", where="--seed", got=self.seed, expected="at least 0")


@dataclass(frozen=True)
class PredictConfig:
    """Which head, and what is written of what it says."""

    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""
    head: str = "main"
    """NAME: its newest version. NAME/VERSION: that one."""
    model: str = "champion"
    """The model whose vectors are wanted: champion, a version number of the root, models:/NAME@ALIAS, or the URI of a
    checkpoint folder. Another one than the head was trained on is refused."""
    unknown_below: float = 0.0
    """Label `unknown` where the likeliest class has a calibrated probability below this, in [0, 1]."""
    top_k: int = 3
    """Classes to write with their probabilities, at least 1."""
    batch_slices: int = 65_536
    """Slices in memory, and in one commit, at a time; at least 1. A video is never divided."""

    def __post_init__(self) -> None:
        if not 0 <= self.unknown_below <= 1:
            got = self.unknown_below
            raise ConfigError("A probability is out of range.", where="--unknown-below", got=got, expected="[0, 1]")
        for name in ("top_k", "batch_slices"):
            if getattr(self, name) < 1:
                option = f"--{name.replace('_', '-')}"
                got = getattr(self, name)
                raise ConfigError("A number is out of range.", where=option, got=got, expected="at least 1")


@dataclass(frozen=True)
class ReportConfig:
    """Which head's predictions to hold against the labels."""

    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""
    head: str = "main"
    """NAME: its newest version. NAME/VERSION: that one."""
    group_column: str = "source_group"
    """Label attribute that names a video's source, for the interval of the accuracy."""
    output: str | None = None
    """Folder for the files; left out: <root>/heads/NAME/VERSION/report."""
