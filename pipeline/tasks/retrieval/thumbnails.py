"""Pictures of moments of videos, decoded in the sandbox; a video that cannot be shown says why."""

from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image

from pipeline import storage
from pipeline.decode.moment import Moment, frame_at
from pipeline.decode.sandbox import Sandbox
from pipeline.errors import DecodeError

DECODED_PX = 256


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
            picture = Image.fromarray(frame_at(sandbox, source, moment.time_s, size_px=DECODED_PX))
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
