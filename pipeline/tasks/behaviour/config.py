"""What `sora behaviour` is asked to do."""

from dataclasses import dataclass, field
from typing import Literal

from tyro.conf import Positional

from pipeline.decode.sampling import SamplingConfig
from pipeline.errors import ConfigError
from pipeline.tracking import CHAMPION

Kind = Literal["unsupervised", "supervised"]


@dataclass(frozen=True)
class SegmentConfig:
    """Which videos to cut into behaviours, and how behaviours are learned."""

    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""
    kind: Kind = "unsupervised"
    """unsupervised: change points and clusters, behaviour_00 and so on. supervised: from labels with start_s,end_s."""
    model: str = CHAMPION
    """champion, a version number of the root, models:/NAME@ALIAS, or the URI of a checkpoint folder."""
    where: str | None = None
    """Only videos that meet this SQL condition over the columns of `videos`."""
    name: str | None = None
    """Name of the segmentation in the root; left out: its kind. Another name is another segmentation."""
    refit: bool = False
    """Learn the behaviours anew from the chosen videos; without it, what was learned before is used again."""
    num_behaviours: int | None = None
    """Clusters, at least 2; left out: chosen by silhouette. Unsupervised only."""
    penalty: float = 1.0
    """How dear a change is, in units of the Bayesian information criterion; more: fewer, longer segments."""
    group_column: str = "source_group"
    """Label attribute that names a video's source: figures leave out whole sources. Videos without it are their own."""
    names: str | None = None
    """CSV with behaviour,name: what you call the behaviours from now on; kept in the root."""
    output: str | None = None
    """Folder for segments.json and a timeline picture of each video."""
    max_pictures: int = 20
    """Timelines at most."""

    def __post_init__(self) -> None:
        if self.num_behaviours is not None and self.num_behaviours < 2:
            raise _wrong("--num-behaviours", self.num_behaviours, "at least 2")
        if not self.penalty > 0:
            raise _wrong("--penalty", self.penalty, "more than 0")
        if self.max_pictures < 0:
            raise _wrong("--max-pictures", self.max_pictures, "at least 0")
        if self.name is not None and not self.name.replace("-", "_").isidentifier():
            raise _wrong("--name", self.name, "letters, digits, - and _")

    @property
    def segmentation(self) -> str:
        """Name of the segmentation."""
        return self.name or self.kind


@dataclass(frozen=True)
class ProfileConfig:
    """Which segmentation to sum up, and by what."""

    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""
    segmentation: str = "unsupervised"
    """Its name, as `sora behaviour segment` made it."""
    model: str = CHAMPION
    """The model under which it was made."""
    where: str | None = None
    """Only videos that meet this SQL condition over the columns of `videos`."""
    by: str | None = None
    """Label attribute whose values are groups of videos; left out: one group of all."""
    output: str | None = None
    """Folder for profile.json."""


@dataclass(frozen=True)
class AnomalyConfig:
    """What is normal, what is to be judged, and by which model."""

    normal: str
    """Folder or bucket prefix with normal footage only."""
    test: str
    """Folder or bucket prefix with the footage to be judged."""
    ground_truth: str | None = None
    """CSV with path,start_frame,end_frame of anomalous intervals: path below TEST, frames counted from 0, end_frame
    exclusive. Videos without a line are normal. With it, the frame AUC is measured."""
    root: str | None = None
    """Where tables and models live; left out: a temporary place, gone afterwards."""
    model: str = CHAMPION
    """champion, a version number of the root, models:/NAME@ALIAS, or the URI of a checkpoint folder."""
    train: bool = False
    """Where the root has no model yet, train one first, on the normal footage and nothing else."""
    epochs: int = 20
    """With --train: passes over the normal footage."""
    output: str | None = None
    """Folder for scores.csv, anomalies.json and a timeline picture of each test video."""
    max_pictures: int = 20
    """Timelines at most, the strangest videos first."""
    sampling: SamplingConfig = field(default_factory=lambda: SamplingConfig(8, 12.5, 0.4))
    """With --train: how videos are cut into slices; stored with the model."""

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise _wrong("--epochs", self.epochs, "at least 1")
        if self.max_pictures < 0:
            raise _wrong("--max-pictures", self.max_pictures, "at least 0")
        if self.root is None and self.model == CHAMPION and not self.train:
            cure = "name a root that has a model with --root, or a checkpoint folder with --model, or add --train"
            raise ConfigError("There is no model to make vectors with.", where="--root, --model", cure=cure)


@dataclass(frozen=True)
class BinaryConfig:
    """Which clips, with which two labels, from which sources."""

    videos: Positional[str]
    """Folder or bucket prefix with videos: a path, file:// or s3:// URI."""
    labels: str
    """CSV with path,label and the source of each video; two different labels."""
    group_column: str
    """Column of the CSV that names the source of a video; whole sources are left out."""
    root: str
    """Where the model lives, and the tables the vectors go to."""
    model: str = CHAMPION
    """champion, a version number of the root, models:/NAME@ALIAS, or the URI of a checkpoint folder."""


def _wrong(option: str, got: object, expected: str) -> ConfigError:
    return ConfigError("An option is out of range.", where=option, got=got, expected=expected)
