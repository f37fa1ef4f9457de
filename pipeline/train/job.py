"""A training job: what to learn from, how to cut it into clips, and under which name."""

from dataclasses import dataclass, field

from pipeline.decode.sampling import SamplingConfig
from pipeline.train.config import TrainConfig


@dataclass(frozen=True)
class TrainJob:
    """One training run."""

    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""
    name: str | None = None
    """Name of the run; the same name resumes it. Left out: a digest of the options and the videos, so that the same
    command on the same catalog goes on where it stopped, and does nothing when it had finished."""
    group_column: str = "source_group"
    """Label attribute that names a video's source; videos of one source never stand in both training and validation."""
    split_column: str | None = None
    """Label attribute whose value is `train` on what may be learned from; every other video is left out."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Network, objective and schedule."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    """How videos are cut into clips; stored with the model, and used again by `sora extract`."""
