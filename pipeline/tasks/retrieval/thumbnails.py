"""Pictures of moments of videos, decoded in the sandbox; a video that cannot be shown says why."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from PIL import Image

from pipeline import storage
from pipeline.decode.sampling import SamplingConfig
from pipeline.decode.sandbox import Sandbox
from pipeline.errors import DecodeError

DECODED_PX = 256
_MIN_STRIDE_S = 0.001


@dataclass(frozen=True)
class Moment:
    """A time in a video, in seconds after its first shown frame."""

    uri: str
    time_s: float


@dataclass(frozen=True)
class Thumbnail:
    """What is on screen at a moment, or why that cannot be shown."""

    picture: Image.Image | None
    reason: str | None


def thumbnails(moments: Iterable[Moment], *, width_px: int, height_px: int) -> list[Thumbnail]:
    """The picture of each moment, as large as fits into the given size with its own aspect ratio.

    Args:
        moments: Where to look.
        width_px, height_px: What a picture may take.
    """
    with Sandbox() as sandbox:
        return [_thumbnail(sandbox, moment, width_px, height_px) for moment in moments]


def _thumbnail(sandbox: Sandbox, moment: Moment, width_px: int, height_px: int) -> Thumbnail:
    try:
        with storage.open_object(moment.uri) as source:
            info = sandbox.probe(source)
            picture = _frame(sandbox, source, moment.time_s)
    except DecodeError as e:
        return Thumbnail(None, f"{e.error_class}: {e.what}")
    except FileNotFoundError:
        return Thumbnail(None, "the video is not there any more")
    except OSError as e:
        return Thumbnail(None, f"the store cannot be read: {type(e).__name__}")
    width, height = info.width or DECODED_PX, info.height or DECODED_PX
    if info.rotation_deg in (90, 270):
        width, height = height, width
    scale = min(width_px / width, height_px / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Thumbnail(picture.resize(size, Image.Resampling.LANCZOS), None)


def _frame(sandbox: Sandbox, source: object, time_s: float) -> Image.Image:
    """The frame that is on screen: the only one of the second clip, whose start is the time; the first at time 0."""
    stride_s = max(time_s, _MIN_STRIDE_S)
    sampling = SamplingConfig(frames_per_clip=1, sample_fps=1.0, stride_s=stride_s, size_px=DECODED_PX)
    clips = list(islice(sandbox.read_clips(source, sampling), 1 if time_s < _MIN_STRIDE_S else 2))  # type: ignore[arg-type]
    return Image.fromarray(clips[-1].frames[0])
