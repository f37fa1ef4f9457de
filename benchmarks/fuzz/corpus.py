"""The whole files that the fuzz starts from: real video of many formats, and a few formats it lacks, encoded here."""

from dataclasses import dataclass
from pathlib import Path

from tests.support.shared import shared_videos
from tests.support.videos import encode_video

MAX_SOURCE_BYTES = 2_000_000
JHMDB_EVERY, JHMDB_AVI_EVERY = 23, 4  # 41 and 21 files: there are many, and they are all alike inside
CONTROLS = ("sample_h265_rps_pred.ts", "vp90-2-10-show-existing-frame.mp4", "sample-with-key-frame-index.flv")

# container, codec, pixel format. Deterministic ones only: MXF, for one, writes random identifiers into each file.
ENCODED = (
    ("nut", "ffv1", "yuv420p"),
    ("gxf", "mpeg2video", "yuv420p"),
    ("asf", "wmv2", "yuv420p"),
    ("wtv", "mpeg2video", "yuv420p"),
    ("apng", "apng", "rgb24"),
    ("mpjpeg", "mjpeg", "yuvj420p"),
    ("mjpeg", "mjpeg", "yuvj420p"),
    ("yuv4mpegpipe", "wrapped_avframe", "yuv420p"),
    ("h261", "h261", "yuv420p"),
    ("h263", "h263", "yuv420p"),
    ("m4v", "mpeg4", "yuv420p"),
    ("rm", "rv20", "yuv420p"),
    ("flv", "flashsv", "bgr24"),
    ("avi", "utvideo", "yuv420p"),
    ("avi", "magicyuv", "yuv420p"),
    ("avi", "zmbv", "bgr0"),
    ("avi", "asv1", "yuv420p"),
    ("avi", "snow", "yuv410p"),
    ("avi", "speedhq", "yuv420p"),
    ("mov", "qtrle", "rgb24"),
    ("mov", "rpza", "rgb555le"),
    ("mov", "cinepak", "rgb24"),
    ("mov", "jpeg2000", "yuv420p"),
    ("mov", "prores_ks", "yuv422p10le"),
)


@dataclass(frozen=True)
class Source:
    """A file as it was before anything was done to it."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Corpus:
    """`plain` go through the sandbox untouched once, `sources` are mutated, `controls` must always decode."""

    plain: tuple[Source, ...]
    sources: tuple[Source, ...]
    controls: tuple[Source, ...]


def load_corpus() -> Corpus:
    """Read and encode all sources; the same corpus on every call while the test video and FFmpeg stay the same."""
    folder = shared_videos()
    codecs, broken = _read(folder, "codecs/*"), _read(folder, "broken/*")
    jhmdb = _read(folder, "jhmdb/*/*.mp4", every=JHMDB_EVERY)
    jhmdb_avi = _read(folder, "jhmdb_avi/*/*.avi", every=JHMDB_AVI_EVERY)
    sources = (*codecs, *broken, *jhmdb, *jhmdb_avi, *map(_encoded, ENCODED))
    named = {Path(source.name).name: source for source in codecs}
    return Corpus(
        plain=(*codecs, *broken),
        sources=tuple(source for source in sources if source.data),
        controls=(jhmdb[0], *(named[name] for name in CONTROLS)),
    )


def _read(folder: Path, pattern: str, *, every: int = 1) -> tuple[Source, ...]:
    videos = (path for path in sorted(folder.glob(pattern)) if path.suffix != ".csv")
    small = [path for path in videos if path.stat().st_size <= MAX_SOURCE_BYTES]
    return tuple(Source(str(path.relative_to(folder)), path.read_bytes()) for path in small[::every])


def _encoded(how: tuple[str, str, str]) -> Source:
    container, codec, pix_fmt = how
    width, height = (720, 512) if container == "gxf" else (176, 144)
    data = encode_video(6, codec=codec, container=container, pix_fmt=pix_fmt, width=width, height=height, fps=25)
    return Source(f"encoded/{codec}.{container}", data)
