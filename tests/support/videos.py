"""Tiny real videos whose pixels spell the frame number, so that a wrong or turned frame is seen at once.

1 b b 0      4 x 4 blocks, white for 1; the corners 1 0 0 0 are the same in every frame and tell which way is up;
b b b b      the twelve others are the number in binary, first the highest bit.
b b b b
0 b b 0
"""

import io
from collections.abc import Mapping, Sequence
from fractions import Fraction

import av
import numpy as np

GRID = 4
CORNERS = {(0, 0): 1, (0, 3): 0, (3, 0): 0, (3, 3): 0}
BITS = [(row, column) for row in range(GRID) for column in range(GRID) if (row, column) not in CORNERS]
DARK, BRIGHT = 40, 215


def picture(number: int, *, width: int, height: int) -> np.ndarray:
    """The frame that spells a number in [0, 4096): uint8 (H, W, C) RGB."""
    blocks = np.zeros((GRID, GRID), np.uint8)
    for place, bit in CORNERS.items():
        blocks[place] = bit
    for place, digit in zip(BITS, f"{number:012b}", strict=True):
        blocks[place] = int(digit)
    rows, columns = np.arange(height) * GRID // height, np.arange(width) * GRID // width
    gray = np.where(blocks[rows][:, columns] == 1, BRIGHT, DARK).astype(np.uint8)
    return np.repeat(gray[:, :, None], 3, axis=2)


def read_number(frame: np.ndarray) -> int:
    """The number spelled by a (H, W, C) frame of any size; ValueError when it is not upright."""
    height, width = frame.shape[:2]
    centres = [(2 * i + 1) / (2 * GRID) for i in range(GRID)]
    rows, columns = [int(c * height) for c in centres], [int(c * width) for c in centres]
    bright = frame.mean(axis=2)[rows][:, columns] > (DARK + BRIGHT) / 2
    if any(bright[place] != bit for place, bit in CORNERS.items()):
        raise ValueError(f"not an upright picture: {bright.astype(int).tolist()}")
    return int("".join(str(int(bright[place])) for place in BITS), 2)


def encode_video(
    num_frames: int = 32,
    *,
    codec: str = "libx264",
    container: str = "mp4",
    fps: int = 16,
    width: int = 64,
    height: int = 48,
    pix_fmt: str = "yuv420p",
    b_frames: int = 0,
    gop: int = 12,
    times_ms: Sequence[int] | None = None,
    rotation_deg: int = 0,
    options: Mapping[str, str] | None = None,
) -> bytes:
    """Encode frames that spell 0, 1, 2... and return the bytes of the file.

    Args:
        times_ms: Presentation time of each frame, strictly increasing; one frame every 1 / fps where None.
        options: Of the encoder, besides or instead of those chosen here.
        rotation_deg: Clockwise turn that shows the stored picture upright; the stored one lies on its side.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = gop
        stream.codec_context.max_b_frames = b_frames
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "bf": str(b_frames), "b-adapt": "0", "crf": "12"}
        stream.options = {**stream.options, **(options or {})}
        time_base = Fraction(1, 1000) if times_ms is not None else Fraction(1, fps)
        stream.codec_context.time_base = time_base
        if rotation_deg:
            stream.set_display_rotation(-rotation_deg)
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(_stored(number, width, height, rotation_deg), format="rgb24")
            frame.pts = times_ms[number] if times_ms is not None else number
            frame.time_base = time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def _stored(number: int, width: int, height: int, rotation_deg: int) -> np.ndarray:
    is_sideways = rotation_deg % 180 != 0
    upright = picture(number, width=height if is_sideways else width, height=width if is_sideways else height)
    return np.ascontiguousarray(np.rot90(upright, k=rotation_deg // 90))  # rot90 turns counterclockwise
