"""A decoded frame becomes an upright RGB square."""

import struct

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

_AREA = int(Interpolation.AREA)  # PyAV takes 0.05 ms to look an enum up, as long as to scale a small frame


class Squarer:
    """Scales, converts and turns frames; keeps one scaler, which costs as much to set up as to use.

    Each pixel is the mean of those it covers, at half the work of a triangle twice as wide; enlarging is bilinear. The
    planes come one by one, since FFmpeg fills them faster, and with whole chroma, than pixels of three bytes.

    Args:
        size_px: Height and width of the result.
    """

    def __init__(self, size_px: int):
        self._size_px = size_px
        self._reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame, pixels: NDArray[np.uint8]) -> None:
        """Writes the frame into pixels, uint8 (H, W, C) RGB, H = W = size_px."""
        scaled = self._reformatter.reformat(
            frame, width=self._size_px, height=self._size_px, format="gbrp", interpolation=_AREA, threads=1
        )
        matrix = display_matrix(frame)
        for channel, plane in zip((1, 2, 0), scaled.planes, strict=True):
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(self._size_px, plane.line_size)
            pixels[:, :, channel] = turn_upright(rows[:, : self._size_px], matrix)


def display_matrix(frame: VideoFrame) -> tuple[int, int, int, int] | None:
    """The linear part (a, b, c, d) of the frame's display matrix: x' = a x + c y, y' = b x + d y; y points down."""
    side_data = frame.side_data.get(Type.DISPLAYMATRIX)  # type: ignore[call-overload]  # its TypedDict knows one key only
    if side_data is None:
        return None
    a, b, _, c, d = struct.unpack_from("=5i", bytes(side_data))
    return a, b, c, d


def turn_upright(pixels: NDArray[np.uint8], matrix: tuple[int, int, int, int] | None) -> NDArray[np.uint8]:
    """Apply the quarter turns and mirrorings of a display matrix to a square picture, (H, W) or (H, W, C)."""
    if matrix is None:
        return pixels
    a, b, c, d = matrix
    is_transposed = abs(b) + abs(c) > abs(a) + abs(d)
    x_sign, y_sign = (c, b) if is_transposed else (a, d)
    upright = pixels.swapaxes(0, 1) if is_transposed else pixels
    upright = upright[:, ::-1] if x_sign < 0 else upright
    return upright[::-1] if y_sign < 0 else upright
