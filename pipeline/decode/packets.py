"""What packets say of a video before a picture is decoded: how much moves, and where shots may change. Pure.

An encoder spends bytes where the picture changes, and puts a key frame where everything does:

    bytes  |K         |         |K      |K         |
           |K..:..:.:.|:.:.:.L.:|K:..:.:|K.:..:...:|
            0         10    cut     cut a key frame off the grid of every 10; L a jump of size without one
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GRID_TOLERANCE = 0.95  # phones with a varying frame rate put their key frames 29 to 31 frames apart
LONGEST_DEFAULT_GOP = 250  # of x264 and x265: one interval of this length, alone, is the grid and no cut
JUMP_WINDOW = 16  # packets on each side; a second or so
# Over the nine encoders of docs/log.md 0.81 of the candidates are cuts, 0.79 of the cuts candidates. With 12 packets
# on each side it was 0.73 and 0.81; there, a ratio of 2 made it 0.85 and 0.65.
JUMP_RATIO = 1.5  # of the second largest neighbour: the largest may be the next cut
JUMP_OF_KEY = 0.4  # of the median key frame: most of the picture was coded anew


@dataclass(frozen=True)
class Packets:
    """The packets of one video stream, in the order of decoding.

    size_bytes is int64 (N,); time_s float64 (N,), seconds after the first shown frame; is_key bool (N,).
    end_s is when the last one leaves the screen.
    """

    size_bytes: NDArray[np.int64]
    time_s: NDArray[np.float64]
    is_key: NDArray[np.bool_]
    end_s: float


def motion_score(packets: Packets) -> float | None:
    """Key pictures' worth of change that is coded a second.

    Bytes of the packets that are neither key frames nor cut candidates, divided by the median bytes of a key frame and
    by the duration in seconds: size and detail of the picture cancel out, most of the quality setting too.

    Returns:
        1/s, 0 for a still, below the frame rate unless the key frames are plainer than what follows. None where it
        cannot be said: all packets or none are key frames.
    """
    if packets.end_s <= 0 or not _tells(packets):
        return None
    is_motion = ~packets.is_key & ~_is_cut(packets)
    return float(packets.size_bytes[is_motion].sum()) / _median_key_bytes(packets) / packets.end_s


def cut_candidates_s(packets: Packets) -> NDArray[np.float64] | None:
    """When the shot may change: key frames off the encoder's regular grid, and packets that stick out in size.

    Returns:
        float64 (M,), strictly increasing, in (0, end_s); None where it cannot be said: all packets or none are keys.
    """
    if not _tells(packets):
        return None
    times_s = np.sort(packets.time_s[_is_cut(packets)])  # np.unique imports numpy.ma: the decoder process opens no file
    return times_s[np.diff(times_s, prepend=0.0) > 0]


def _tells(packets: Packets) -> bool:
    return bool(packets.is_key.any() and not packets.is_key.all())


def _median_key_bytes(packets: Packets) -> float:
    return max(float(np.median(packets.size_bytes[packets.is_key])), 1.0)


def _is_cut(packets: Packets) -> NDArray[np.bool_]:
    is_cut = np.zeros(len(packets.is_key), np.bool_)
    is_cut[_off_the_grid(np.flatnonzero(packets.is_key))] = True
    is_cut[_jumps(packets)] = True
    return is_cut


def _off_the_grid(keys: NDArray[np.intp]) -> NDArray[np.intp]:
    """Keys that came before their time: the grid is the longest interval, where there is more than one such."""
    intervals = np.diff(keys)
    if not len(intervals):
        return keys[:0]
    shortest_regular = GRID_TOLERANCE * intervals.max()
    is_default = shortest_regular <= GRID_TOLERANCE * LONGEST_DEFAULT_GOP <= intervals.max()
    is_regular = intervals >= shortest_regular
    return keys[1:][~is_regular] if is_default or is_regular.sum() > 1 else keys[1:]


def _jumps(packets: Packets) -> NDArray[np.intp]:
    """Packets out of line with their neighbours; key frames and what is shown before its predecessor apart."""
    is_in_order = packets.time_s >= np.maximum.accumulate(packets.time_s)  # B-frames are smaller by nature
    places = np.flatnonzero(is_in_order & ~packets.is_key)
    if len(places) <= JUMP_WINDOW:
        return places[:0]
    sizes = packets.size_bytes[places].astype(np.float64)
    is_large = sizes > JUMP_OF_KEY * _median_key_bytes(packets)
    padded = np.pad(sizes, JUMP_WINDOW)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * JUMP_WINDOW + 1)  # (N, 2 W + 1), no copy
    # Of a packet that sticks out the window's largest is itself, and its second largest neighbour the third.
    rivals = np.array([np.partition(window, -3)[-3] for window in windows[is_large]])
    return places[is_large][sizes[is_large] > JUMP_RATIO * rivals]
