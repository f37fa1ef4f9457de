"""Which frames of which videos are wanted: what every contender is told. Imported in the peers' environments too."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SIZE_PX = 112  # height and width of every delivered frame


@dataclass(frozen=True)
class Video:
    """One file and the frames wanted of it.

    Args:
        path: Of a local file.
        num_frames: How many it has.
        clips: For each clip the wanted frames, as 0-based indices in order of presentation, increasing.
        pts_s: When each of them comes on screen, in seconds after the first frame; the same shape as clips.
        sampling: What asks our reader for the same frames: frames_per_clip, sample_fps, stride_s.
    """

    path: str
    num_frames: int
    clips: list[list[int]]
    pts_s: list[list[float]]
    sampling: dict[str, Any]

    @property
    def indices(self) -> list[int]:
        """The wanted frames of all clips."""
        return [index for clip in self.clips for index in clip]


@dataclass(frozen=True)
class Workload:
    """Videos that are read one after another; is_dense where every frame is wanted."""

    name: str
    is_dense: bool
    videos: list[Video]

    @property
    def num_wanted(self) -> int:
        return sum(len(video.indices) for video in self.videos)


def workload_from(told: Mapping[str, Any]) -> Workload:
    """The inverse of dataclasses.asdict."""
    return Workload(told["name"], told["is_dense"], [Video(**video) for video in told["videos"]])
