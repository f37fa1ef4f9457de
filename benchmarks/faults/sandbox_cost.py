"""What the process apart costs: the same clips from the sandbox and from the reader in this process, by turns."""

import io
import statistics
import sys
import time
from collections.abc import Callable, Iterator

from pipeline.decode.limits import DecodeLimits
from pipeline.decode.reader import read_clips
from pipeline.decode.records import Clip
from pipeline.decode.sampling import SamplingConfig
from pipeline.decode.sandbox import Sandbox
from tests.support.shared import shared_videos

MAX_SANDBOX_RATIO = 1.05
_SAMPLING = SamplingConfig(frames_per_clip=16, sample_fps=16.0, stride_s=0.5, size_px=64)
_EVERY = 6  # of the 928 clips of J-HMDB


def sandbox_ratio(num_rounds: int) -> float:
    """Wall time through the sandbox divided by that without, the order changing from round to round: the median."""
    files = [clip.read_bytes() for clip in sorted((shared_videos() / "jhmdb").glob("*/*.mp4"))[::_EVERY]]
    ratios = []
    with Sandbox(recycle_after=len(files) * (num_rounds + 2)) as sandbox:
        ways: dict[str, Callable[[io.BytesIO], Iterator[Clip]]] = {
            "apart": lambda source: sandbox.read_clips(source, _SAMPLING),
            "here": lambda source: read_clips(source, _SAMPLING, DecodeLimits()),
        }
        for number in range(num_rounds + 1):  # the first round starts the child, and does not count
            order = list(ways) if number % 2 else list(reversed(ways))
            seconds = {name: _seconds(ways[name], files) for name in order}
            print(f"  round {number}: {seconds['apart']:.2f} s, {seconds['here']:.2f} s", file=sys.stderr, flush=True)
            if number:
                ratios.append(seconds["apart"] / seconds["here"])
    return statistics.median(ratios)


def _seconds(read: Callable[[io.BytesIO], Iterator[Clip]], files: list[bytes]) -> float:
    started_s = time.perf_counter()
    for data in files:
        for _ in read(io.BytesIO(data)):
            pass
    return time.perf_counter() - started_s
