"""What to extract, and how to find out beforehand what it will take."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pipeline.errors import ConfigError
from pipeline.features.retry import RetryPolicy

EngineChoice = Literal["auto", "torch"]


@dataclass(frozen=True)
class ExtractConfig:
    """Which root, which model, what to take again."""

    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""
    model: str = "champion"
    """champion, a version number of the root, models:/NAME@ALIAS, or the URI of a checkpoint folder."""
    retry_failed: bool = False
    """Take videos again whose decoding failed before, given up or not."""
    where: str | None = None
    """With --retry-failed: only videos with a failure like this, in SQL: "error_class = 'timeout'"."""
    max_attempts: int = 3
    """A video that timed out, crashed the decoder, filled its memory or could not be read is tried so often in all, one
    try a run; then it is given up until --retry-failed. What is wrong with the file itself is never tried twice."""
    since: str | None = None
    """Only videos cataloged on or after this date, YYYY-MM-DD (UTC)."""
    num_workers: int | None = None
    """Workers that decode and encode; when left out, one for each GPU of the cluster, or else one for each CPU."""
    num_decoders: int | None = None
    """Videos that one worker decodes at a time; when left out, 1, or on GPUs the CPUs that there are for each."""
    engine: EngineChoice = "auto"
    """How the network is run. torch: step by step, as it was trained. auto: so at first; a worker that has worked for a
    while compares faster ways with it, and takes the fastest whose vectors are the same, to rounding."""

    def __post_init__(self) -> None:
        if self.where is not None and not self.retry_failed:
            raise ConfigError("A condition alone does nothing.", where="--where", cure="add --retry-failed")
        if self.max_attempts < 1:
            raise ConfigError("Too few attempts.", where="--max-attempts", got=self.max_attempts, expected="at least 1")
        if self.num_workers is not None and self.num_workers < 1:
            raise ConfigError("Too few workers.", where="--num-workers", got=self.num_workers, expected="at least 1")
        if self.num_decoders is not None and self.num_decoders < 1:
            raise ConfigError("Too few decoders.", where="--num-decoders", got=self.num_decoders, expected="at least 1")
        self.policy()

    def policy(self) -> RetryPolicy:
        """Which videos to take besides what was never tried."""
        try:
            since = datetime.fromisoformat(self.since).replace(tzinfo=UTC) if self.since else None
        except ValueError as e:
            raise ConfigError("That is no date.", where="--since", got=self.since, expected="YYYY-MM-DD") from e
        return RetryPolicy(self.retry_failed, self.where, self.max_attempts, since)


@dataclass(frozen=True)
class PlanConfig(ExtractConfig):
    """The extraction to plan, how closely to look, and what machines cost."""

    sample_videos: int = 32
    """Videos to measure, spread over the corpus; one with twice the clips is taken twice as likely."""
    sample_seconds: float = 60.0
    """Seconds of each of them that are measured at most."""
    core_hour_price: float = 0.045
    """Price of a CPU core for an hour, in whatever currency; the default is dollars, on demand, at a large cloud."""
    gpu_hour_price: float = 0.80
    """Price of a GPU for an hour, its machine's cores apart."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (
            ("sample_videos", 1),
            ("sample_seconds", 1.0),
            ("core_hour_price", 0),
            ("gpu_hour_price", 0),
        ):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= least):
                option = f"--{name.replace('_', '-')}"
                raise ConfigError("A number is out of range.", where=option, got=value, expected=f"at least {least}")
