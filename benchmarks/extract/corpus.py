"""The videos: clips of J-HMDB and two long ones, under names that put the long ones first.

small    the first clips of J-HMDB, three tasks of ours: start-up, and little else
whole    the same, more of J-HMDB, and 1280x720 with GOP 250: 10 minutes, twice
copies   J-HMDB again and again under other names, by hard links: a corpus of any size that fills no disk
"""

import csv
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.decode.corpus import encoded_corpus, recipes, spread
from benchmarks.extract.task import SAMPLING
from pipeline.model.autoencoder import build_model
from pipeline.model.checkpoint import save_checkpoint
from pipeline.model.config import sora_xs
from tests.support.shared import shared_videos

NUM_LONG = 2  # one for each core, so that nobody waits for the other's last one
ONE_FRAME = {"frames_per_clip": 1, "sample_fps": 1.0, "stride_s": 3600.0, "size_px": 16}  # a clip a video, little work
_SEED = 20261122


@dataclass(frozen=True)
class Sizes:
    """How many videos there are of what.

    small, whole: Clips of J-HMDB in these corpora.
    tenfold: Clips of J-HMDB in the corpus that is compared with ten times itself; 0: that is left out, and so is the
        comparison of one worker with two.
    few, many: Videos of one clip each, between which the driver's memory must not grow.
    """

    small: int
    whole: int
    tenfold: int
    few: int
    many: int


def sizes(*, is_quick: bool) -> Sizes:
    """What is measured: hours in all, or minutes."""
    if is_quick:
        return Sizes(small=48, whole=120, tenfold=0, few=100, many=1_000)
    return Sizes(small=48, whole=480, tenfold=400, few=1_000, many=100_000)


def jhmdb(number: int) -> list[Path]:
    """So many clips of J-HMDB, of all actions where there are enough."""
    folder = shared_videos() / "jhmdb"
    with (folder / "labels.csv").open(newline="") as labels:
        return [folder / path for path in spread([row["path"] for row in csv.DictReader(labels)], number)]


def long_videos(*, is_quick: bool) -> list[Path]:
    """The long video of `benchmarks.decode`, 1 or 10 minutes of it, once for each core."""
    sources = sorted(map(str, (shared_videos() / "falls").rglob("*.mp4")))
    return [encoded_corpus(sources, recipes(is_quick=is_quick))[-1]] * NUM_LONG


def write_corpora(folder: Path, wanted: Sizes, *, is_quick: bool) -> dict[str, Path]:
    """The corpora `small` and `whole`, every video of the one also in the other."""
    clips, long = jhmdb(wanted.whole), long_videos(is_quick=is_quick)
    placed(folder / "small", clips[: wanted.small], "1-clip")
    placed(folder / "whole", clips, "1-clip")
    placed(folder / "whole", long, "0-long")
    return {"small": folder / "small", "whole": folder / "whole"}


def placed(folder: Path, videos: Sequence[Path], prefix: str, *, number: int | None = None) -> Path:
    """Put videos into a folder under numbered names; those beyond the last begin with the first again.

    Args:
        folder: Made where it is missing.
        videos: Files; linked where the disk allows it, else copied once and then linked.
        prefix: Of every name.
        number: How many names; None: one for each video.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first: list[Path] = []
    for index in range(len(videos) if number is None else number):
        target = folder / f"{prefix}-{index:06d}.mp4"
        if index < len(videos):
            _link(videos[index], target)
            first.append(target)
        else:
            os.link(first[index % len(first)], target)
    return folder


def paths(corpus: Path) -> list[str]:
    """Its videos by name: the long ones first, as our job takes them too."""
    return sorted(map(str, corpus.iterdir()))


def write_model(folder: Path, sampling: dict[str, float] | None = None) -> Path:
    """sora_xs as its seed made it: what its vectors mean does not matter here, only that they agree."""
    import torch

    torch.manual_seed(_SEED)
    network = build_model(sora_xs(), num_classes=0)
    save_checkpoint(folder, network, labels=[], sampling=sampling or SAMPLING, metrics={})
    return folder


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk
        shutil.copyfile(source, target)
