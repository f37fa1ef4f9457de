"""Small pictures of videos: one frame each, through the sandbox, for as long as there is time and never longer.

requests --threads, one sandbox each--> WebP bytes, or why there is no picture
"""

import io
import queue
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Thread

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline import storage
from pipeline.decode.limits import DecodeLimits
from pipeline.decode.moment import Moment, frame_at
from pipeline.decode.sandbox import Sandbox
from pipeline.errors import DecodeError, SoraError
from pipeline.progress import OnProgress, Progress

SIDE_PX = 160  # of the longer side
_THREADS = 2
_GRACE_S = 5.0  # after the limit, for the frame that is being decoded
# A page must not wait for one video: what takes longer has no picture.
LIMITS = DecodeLimits(cpu_s=8.0, wall_s=8.0, stall_s=8.0, start_s=20.0)
NO_TIME = "no time was left for it"


@dataclass(frozen=True)
class Frame:
    """A picture as WebP bytes, or in words why there is none."""

    webp: bytes | None
    reason: str = ""


def frames(
    wanted: Iterable[Moment], sizes: Mapping[str, tuple[int, int]], *, limit_s: float, on_progress: OnProgress
) -> dict[Moment, Frame]:
    """One frame of each moment, in their order as long as the time lasts.

    Args:
        wanted: Each is decoded once.
        sizes: Width and height of the upright picture by uri, for its proportions; a square where it is not known.
        limit_s: Seconds after which nothing is begun; five more, and what hangs is left behind.
        on_progress: Told after every frame.
    Returns:
        A frame for every moment.
    """
    moments = list(dict.fromkeys(wanted))
    waiting: queue.SimpleQueue[Moment] = queue.SimpleQueue()
    for moment in moments:
        waiting.put(moment)
    until_s = time.monotonic() + limit_s
    found: dict[Moment, Frame] = {}

    def work() -> None:
        with Sandbox(LIMITS) as sandbox:
            while time.monotonic() < until_s:
                try:
                    moment = waiting.get_nowait()
                except queue.Empty:
                    return
                found[moment] = _frame(sandbox, moment, sizes.get(moment.uri))
                failed = sum(frame.webp is None for frame in list(found.values()))
                on_progress(Progress("pictures", len(found), len(moments), failed, unit="frames"))

    threads = [Thread(target=work, daemon=True) for _ in range(min(_THREADS, len(moments)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until_s + _GRACE_S - time.monotonic()))
    done = dict(found)
    return {moment: done.get(moment, Frame(None, NO_TIME)) for moment in moments}


def webp(pixels: NDArray[np.uint8], *, size: tuple[int, int] | None = None, quality: int = 62) -> bytes:
    """A picture, uint8 (H, W, C) RGB, as WebP; scaled to (width, height) where told."""
    image = Image.fromarray(pixels)
    if size is not None and size != image.size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()


def fitted(size: tuple[int, int] | None) -> tuple[int, int]:
    """The size with these proportions whose longer side is SIDE_PX, no side below a quarter of it."""
    width, height = size or (1, 1)
    longer = max(width, height, 1)
    return tuple(max(SIDE_PX // 4, round(SIDE_PX * side / longer)) for side in (width, height))  # type: ignore[return-value]


def _frame(sandbox: Sandbox, moment: Moment, size: tuple[int, int] | None) -> Frame:
    try:
        with storage.open_object(moment.uri) as source:
            pixels = frame_at(sandbox, source, moment.time_s, size_px=SIDE_PX)
    except DecodeError as e:
        return Frame(None, "damaged there" if e.error_class == "partial" else e.error_class.replace("_", " "))
    except FileNotFoundError:
        return Frame(None, "it is not there any more")
    except (OSError, SoraError) as e:
        return Frame(None, f"it cannot be read: {type(e).__name__}")
    return Frame(webp(pixels, size=fitted(size)))
