"""The videos of the benchmark: real footage, as it is or encoded anew, and what is wanted of each.

J-HMDB, 320x240, as it is          --> 320x240      every frame
falls/*, there and back for as     --> 640x360      every frame
long as a video lasts, scaled,     --> 1280x720     every frame
25 fps, H.264, GOP 250             --> uniform      16 frames of the same 10 s
                                   --> periodic     16 frames at 16 fps, every 10 s of one long video
"""

import csv
import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import VideoReformatter

from benchmarks.decode.planning import every_frame, frame_times, sampled
from benchmarks.decode.wanted import Workload
from tests.support.shared import PROJECT_ROOT, shared_videos

FPS = 25
NUM_CLIPS, NUM_CLIPS_QUICK = 120, 20  # of J-HMDB: a turn lasts 1 to 3 seconds of processor time
CACHE = PROJECT_ROOT / ".cache"
_ENCODER = {"preset": "medium", "crf": "23", "g": "250"}
UNIFORM = {"frames_per_clip": 16, "sample_fps": 1.6, "stride_s": 10.0}
PERIODIC = {"frames_per_clip": 16, "sample_fps": 16.0, "stride_s": 10.0}


@dataclass(frozen=True)
class Recipe:
    """One video to encode: from which of the falls it starts, and how long it lasts."""

    name: str
    width: int
    height: int
    source: int
    duration_s: int

    @property
    def num_frames(self) -> int:
        return self.duration_s * FPS


def recipes(*, is_quick: bool) -> list[Recipe]:
    """What is encoded: two or four videos of each size, and one of 1 or 10 minutes."""
    sources = range(2 if is_quick else 4)
    return [
        *(Recipe(f"640x360-{source}.mp4", 640, 360, source, 20) for source in sources),
        *(Recipe(f"1280x720-{source}.mp4", 1280, 720, source, 10) for source in sources),
        Recipe("periodic.mp4", 1280, 720, 0, 60 if is_quick else 600),
    ]


def workloads(*, is_quick: bool) -> list[Workload]:
    """Every workload, its videos encoded where they are not in the cache."""
    videos = shared_videos()
    with (videos / "jhmdb" / "labels.csv").open(newline="") as labels:
        clips = spread([row["path"] for row in csv.DictReader(labels)], NUM_CLIPS_QUICK if is_quick else NUM_CLIPS)
    jhmdb = [str(videos / "jhmdb" / clip) for clip in clips]
    encoded = encoded_corpus(sorted(map(str, (videos / "falls").rglob("*.mp4"))), recipes(is_quick=is_quick))
    small, large = ([str(path) for path in encoded if path.name.startswith(size)] for size in ("640x360", "1280x720"))
    long = str(encoded[-1])
    times_s = {path: frame_times(path) for path in (*jhmdb, *small, *large, long)}
    return [
        *(
            Workload(name, True, [every_frame(path, times_s[path]) for path in paths])
            for name, paths in (("320x240", jhmdb), ("640x360", small), ("1280x720", large))
        ),
        Workload("uniform", False, [sampled(path, times_s[path], **UNIFORM) for path in large]),
        Workload("periodic", False, [sampled(long, times_s[long], **PERIODIC)]),
    ]


def spread(paths: Sequence[str], number: int) -> list[str]:
    """So many of the paths, evenly spaced: as the labels are sorted by action, every action of J-HMDB is among 120."""
    return list(paths[:: len(paths) // number][:number])


def there_and_back(position: int, num_frames: int) -> int:
    """The frame at a position of 0 1 2 1 0 1 2...: no cut where the footage ends, and no frame twice in a row."""
    turn = position % (2 * num_frames - 2)
    return min(turn, 2 * num_frames - 2 - turn)


def encoded_corpus(sources: Sequence[str], wanted: Sequence[Recipe], *, cache: Path = CACHE) -> list[Path]:
    """The encoded videos, in the order of their recipes; made once for each set of recipes and version of PyAV.

    Args:
        sources: Files of footage, all of one size.
        wanted: What to make of them.
        cache: Where it is kept; a folder of that name is whole.
    """
    meaning = [[Path(source).name for source in sources], [asdict(recipe) for recipe in wanted], _ENCODER, FPS]
    digest = hashlib.sha256(json.dumps([av.__version__, *meaning]).encode()).hexdigest()[:16]
    folder = cache / f"decode-corpus-{digest}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="decode-corpus-unfinished-", dir=cache) as unfinished:
            fresh = Path(unfinished, "corpus")
            fresh.mkdir()
            footage = [_decoded(source) for source in sources]
            for recipe in wanted:
                print(f"encoding {recipe.name}, {recipe.duration_s} s", file=sys.stderr, flush=True)
                _encode(footage, recipe, fresh / recipe.name)
            fresh.rename(folder)
    return [folder / recipe.name for recipe in wanted]


def _decoded(source: str) -> list[VideoFrame]:
    with av.open(source) as container:
        container.streams.video[0].codec_context.thread_count = 1
        return list(container.decode(video=0))


def _encode(footage: Sequence[Sequence[VideoFrame]], recipe: Recipe, path: Path) -> None:
    """One thread, so that the bytes do not depend on how many cores there are."""
    frames = [frame for clip in footage for frame in clip]
    first = sum(len(clip) for clip in footage[: recipe.source])
    reformatter = VideoReformatter()
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=FPS, options=_ENCODER)
        stream.width, stream.height, stream.pix_fmt = recipe.width, recipe.height, "yuv420p"
        stream.codec_context.thread_count = 1
        for number in range(recipe.num_frames):
            source = frames[there_and_back(first + number, len(frames))]
            frame = reformatter.reformat(source, recipe.width, recipe.height, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            frame.pict_type = PictureType.NONE  # or the encoder would keep the footage's keyframes
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
