"""Seed -> a small labelled corpus of H.264 clips in which only the motion tells the class.

No download is needed this way, and a wrong pipeline shows at once: colours, textures, sizes, places and speeds are
drawn alike for every class, so a model that looks at single frames stays at chance, and one that sees motion does not.
"""

import csv
import json
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
import numpy as np

from pipeline.corpus.synthetic_scene import (
    FAMILIES,
    HEIGHT_PX,
    MOTIONS,
    PALETTES,
    WIDTH_PX,
    Motion,
    Scene,
    draw_scene,
    draw_textures,
    render_frames,
)
from pipeline.errors import ConfigError

FRAME_RATE = 25
LABELS_FILE = "labels.csv"
MARKER_FILE = "corpus.json"  # holds the parameters; without it the folder is not a corpus of ours
# A constant quantiser: with crf, x264 looks ahead in a way that differs from run to run even on one thread (3 of 12
# clips had two encodings in 25 runs; with qp none had).
ENCODER = {"preset": "veryfast", "qp": "26"}
FORMAT = 2  # of the corpus; any change of a pixel or a column raises it

# A source group is what one camera would be in real footage: one pair of textures, and in it every motion once a round.
GROUPS = [(family, palette) for palette in PALETTES for family in FAMILIES]
# A quarter of them is for testing. Their families and palettes occur in training too, their textures do not.
TEST_GROUPS = frozenset({1, 6})


@dataclass(frozen=True)
class SyntheticClip:
    """One file of the corpus.

    Args:
        index: In [0, num_clips); motions alternate first, source groups after.
        motion: The label.
        group_index: Into GROUPS.
        num_frames: At FRAME_RATE.
    """

    index: int
    motion: Motion
    group_index: int
    num_frames: int

    @property
    def source_group(self) -> str:
        """Texture family and palette, for a split that keeps like with like."""
        return "-".join(GROUPS[self.group_index])

    @property
    def path(self) -> str:
        """Below the corpus folder: the label's folder, then the file."""
        return f"{self.motion}/{self.source_group}-{self.index:03d}.mp4"

    @property
    def split1(self) -> Literal["train", "test"]:
        """Which side it is on; a source group is on one of them only."""
        return "test" if self.group_index in TEST_GROUPS else "train"


def render_corpus(
    folder: Path, *, num_clips: int = 48, seed: int = 0, duration_s: tuple[float, float] = (2.0, 3.0)
) -> Path:
    """Render the corpus, unless the folder has it already.

    Args:
        folder: Gets `<motion>/<source group>-<index>.mp4` and labels.csv with path, label, source_group, split1.
        num_clips: At least 12, one of each motion in each split; multiples of 48 are balanced over everything.
        seed: Same seed, same pixels; same bytes while the encoder is the same.
        duration_s: Range of the clips' durations, [shortest, longest], in [0.2, 60].
    Returns:
        The path of labels.csv.
    Raises:
        ConfigError: an argument is out of range, or the folder holds files that are not ours.
    """
    clips = plan_clips(num_clips=num_clips, seed=seed, duration_s=duration_s)
    parameters = {"format": FORMAT, "num_clips": num_clips, "seed": seed, "duration_s": list(duration_s)}
    if not _is_complete(folder, clips, parameters):
        _require_ours(folder)
        _render_aside(folder, clips, parameters)
    return folder / LABELS_FILE


def plan_clips(*, num_clips: int, seed: int, duration_s: tuple[float, float]) -> list[SyntheticClip]:
    """What there is to render; see render_corpus for the arguments."""
    if num_clips < 2 * len(MOTIONS):
        raise ConfigError(
            "Too few clips for one of each motion in each split.",
            where="num_clips",
            got=num_clips,
            expected=f"at least {2 * len(MOTIONS)}",
        )
    if not 0.2 <= duration_s[0] <= duration_s[1] <= 60:
        raise ConfigError(
            "The range of clip durations cannot be used.",
            where="duration_s",
            got=duration_s,
            expected="0.2 <= shortest <= longest <= 60, in seconds",
        )
    durations_s = np.random.default_rng([seed, num_clips]).uniform(*duration_s, size=num_clips)
    return [
        SyntheticClip(
            index=index,
            motion=MOTIONS[index % len(MOTIONS)],
            group_index=index // len(MOTIONS) % len(GROUPS),
            num_frames=round(float(durations_s[index]) * FRAME_RATE),
        )
        for index in range(num_clips)
    ]


def _is_complete(folder: Path, clips: list[SyntheticClip], parameters: dict[str, object]) -> bool:
    marker = folder / MARKER_FILE
    if not marker.is_file() or json.loads(marker.read_text())["parameters"] != parameters:
        return False
    return all((folder / clip.path).is_file() for clip in clips) and (folder / LABELS_FILE).is_file()


def _require_ours(folder: Path) -> None:
    """Refuse to replace a folder with anything in it that was not rendered here."""
    present = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    marker = folder / MARKER_FILE
    ours = {MARKER_FILE, LABELS_FILE, *json.loads(marker.read_text())["paths"]} if marker.is_file() else set()
    if foreign := sorted(present - ours):
        raise ConfigError(
            "The folder for the synthetic corpus holds other files.",
            where=folder,
            got=", ".join(foreign[:3]) + (f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""),
            expected="a new or empty folder, or a corpus rendered before",
            cure="name another folder, or move these files away",
        )


def _render_aside(folder: Path, clips: list[SyntheticClip], parameters: dict[str, object]) -> None:
    """Render next to the folder and rename, so that a corpus is there as a whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        aside.chmod(0o755)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda clip: _render_clip(aside, clip, parameters), clips))
        _write_labels(aside / LABELS_FILE, clips)
        marker = {"parameters": parameters, "paths": [clip.path for clip in clips]}
        (aside / MARKER_FILE).write_text(json.dumps(marker))
        if folder.exists():
            shutil.rmtree(folder)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _render_clip(corpus: Path, clip: SyntheticClip, parameters: dict[str, object]) -> None:
    seed = parameters["seed"]
    assert isinstance(seed, int)
    family, palette = GROUPS[clip.group_index]
    # Two streams: the textures are the group's own, the rest is the clip's. Neither depends on what else is rendered.
    textures = draw_textures(family, palette, np.random.default_rng([seed, 0, clip.group_index]))
    scene = draw_scene(clip.motion, textures, np.random.default_rng([seed, 1, clip.index]))
    _encode(corpus / clip.path, scene, clip.num_frames)


def _encode(file: Path, scene: Scene, num_frames: int) -> None:
    file.parent.mkdir(exist_ok=True)
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options=ENCODER)
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        stream.codec_context.thread_count = 1  # more threads, other bytes; the clips run in parallel anyway
        for frame in render_frames(scene, num_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def _write_labels(file: Path, clips: list[SyntheticClip]) -> None:
    with file.open("w", newline="") as sink:
        writer = csv.writer(sink, lineterminator="\n")
        writer.writerow(["path", "label", "source_group", "split1"])
        writer.writerows([clip.path, clip.motion, clip.source_group, clip.split1] for clip in clips)
