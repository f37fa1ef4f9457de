"""What `sora behaviour profile` does: sum up the segments of each chosen video and of each group of them."""

from dataclasses import dataclass
from typing import Any

from pipeline import registry, storage
from pipeline.errors import ConfigError
from pipeline.tasks.behaviour import fitted as kept
from pipeline.tasks.behaviour.config import ProfileConfig
from pipeline.tasks.behaviour.profile import Profile, profile
from pipeline.tasks.behaviour.segment import Segment
from pipeline.tasks.behaviour.segment_rows import read_segments
from pipeline.tasks.behaviour.segmentation import renamed
from pipeline.tasks.behaviour.timed_labels import group_of_videos
from pipeline.tasks.slices import chosen_videos

ALL, UNGROUPED = "all", "(none)"


@dataclass(frozen=True)
class Profiles:
    """Profiles of groups, by their name, and of videos, by their id; and how many chosen videos have no segments."""

    groups: dict[str, Profile]
    videos: dict[str, Profile]
    num_without: int

    def to_json(self) -> dict[str, Any]:
        """As plain numbers."""
        groups = {name: one.to_json() for name, one in self.groups.items()}
        videos = {name: one.to_json() for name, one in self.videos.items()}
        behaviours = next(iter(self.groups.values())).behaviours
        return {"behaviours": behaviours, "groups": groups, "videos": videos, "without_segments": self.num_without}


def profiles(config: ProfileConfig) -> Profiles:
    """Sum up a segmentation.

    Raises:
        CheckpointError: the model reference leads nowhere.
        ConfigError: there is no such segmentation, none of the chosen videos has segments, or no label has the
            attribute to group by.
        TableError: the root has no tables.
    """
    root = storage.normalize(config.root)
    version = registry.resolve(root, config.model).version
    fitted = kept.load(root, config.segmentation, version)
    cure = f"run `sora behaviour segment --root {root}`"
    if fitted is None:
        raise ConfigError("There is no such segmentation.", where=root, got=config.segmentation, cure=cure)
    given = kept.load_names(root, fitted)
    names = list(dict.fromkeys(given.get(name, name) for name in fitted.learned.behaviours))
    chosen = [(row["video_id"], row["version"]) for row in chosen_videos(root, config.where).to_pylist()]
    there = read_segments(root, fitted)
    segments = {key[0]: renamed(there[key], given) for key in sorted(chosen) if key in there}
    if not segments:
        raise ConfigError("No chosen video has segments.", where=root, got=f"{len(chosen)} videos", cure=cure)
    by_group = _grouped(root, config.by, segments)
    return Profiles(
        {group: profile([segments[one] for one in ids], names) for group, ids in by_group.items()},
        {video_id: profile([one], names) for video_id, one in segments.items()},
        num_without=len(chosen) - len(segments),
    )


def _grouped(root: str, column: str | None, segments: dict[str, list[Segment]]) -> dict[str, list[str]]:
    if column is None:
        return {ALL: list(segments)}
    group_of = group_of_videos(root, column)
    if not group_of:
        raise ConfigError("No label has this attribute.", where="--by", got=column)
    found: dict[str, list[str]] = {}
    for video_id in segments:
        found.setdefault(group_of.get(video_id, UNGROUPED), []).append(video_id)
    return dict(sorted(found.items()))
