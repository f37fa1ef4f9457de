"""From what came of each file to the figures of the fuzz: pure."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from benchmarks.fuzz.worker import CONTROL_EVERY, LIMITS, Result
from pipeline.errors import ERROR_CLASSES

SLACK_S = 2.0  # above the wall limit of one probe or one pass: the start of a new child, a busy machine
SETTLED_SHARE = 0.2  # of a worker's files: memory is compared from here on
CLASSES = {"clips", *ERROR_CLASSES}


def summary(slices: Sequence[Sequence[Result]], no_count: str | None) -> dict[str, Any]:
    """The figures.

    Args:
        slices: What each worker sent, in order.
        no_count: Why attempts to reach an address could not be counted, where they could not.
    """
    results = [result for one in slices for result in one]
    hangs = [result.index for result in results if is_hang(result)]
    crashes = [result for result in results if result.ending in ("escaped", "died")]
    attempts = [max((result.attempts for result in one if result.attempts is not None), default=0) for one in slices]
    lost = [{"index": result.index, "control": name} for result in results for name in result.lost_controls]
    return {
        "files": len(results),
        "classified": sum(result.ending in CLASSES for result in results),
        "parent_crashes": len(crashes),
        "hangs": len(hangs),
        "outbound_connections": None if no_count else sum(attempts),
        "outbound_not_counted_because": no_count,
        "good_videos_lost": len(lost),
        "good_videos": sum(result.num_controls for result in results),
        "parent_rss_growth_bytes": max(map(rss_growth_bytes, slices), default=0),
        "parent_rss_bytes_per_file": max(map(rss_bytes_per_file, slices), default=0.0),
        "parent_descriptors_growth": max(map(descriptors_growth, slices), default=0),
        "child_restarts": sum(map(num_restarts, slices)),
        "slowest_s": round(max((max(result.probe_s, result.clips_s) for result in results), default=0.0), 2),
        "by_class": dict(sorted(Counter(result.ending for result in results).items())),
        "clips": sum(result.num_clips for result in results),
        "most_clips": max((result.num_clips for result in results), default=0),  # of one file: damage must not multiply
        "limits": {"cpu_s": LIMITS.cpu_s, "wall_s": LIMITS.wall_s, "stall_s": LIMITS.stall_s, "slack_s": SLACK_S},
        "control_every": CONTROL_EVERY,
        "failing": [*({"index": r.index, "case": r.case, "detail": r.detail} for r in crashes), *lost],
        "hanging": hangs,
    }


def is_hang(result: Result) -> bool:
    """Whether a probe or a pass took longer than its wall limit and the slack."""
    return result.ending == "hang" or max(result.probe_s, result.clips_s) > LIMITS.wall_s + SLACK_S


def rss_growth_bytes(results: Sequence[Result]) -> int:
    """Resident memory of a worker: the median of its last tenth less that of as many files after the first fifth."""
    settled = _settled(results)
    if len(settled) < 2:
        return 0
    tenth = max(1, len(settled) // 10)
    return _median(settled[-tenth:]) - _median(settled[:tenth])


def rss_bytes_per_file(results: Sequence[Result]) -> float:
    """Slope of resident memory over the files after the first fifth, by least squares."""
    memory = _settled(results)
    middle, mean = (len(memory) - 1) / 2, sum(memory) / max(len(memory), 1)
    spread = sum((place - middle) ** 2 for place in range(len(memory)))
    return round(sum((p - middle) * (b - mean) for p, b in enumerate(memory)) / spread, 1) if spread else 0.0


def descriptors_growth(results: Sequence[Result]) -> int:
    """Open descriptors after the last good video less those after the first; each leaves a living child behind."""
    ready = [result.descriptors for result in results if result.num_controls]
    return ready[-1] - ready[0] if ready else 0


def num_restarts(results: Sequence[Result]) -> int:
    """How often a child was replaced: after a fault, or because it had done its jobs."""
    pids = [result.child_pid for result in results if result.ending not in ("hang", "died")]
    return sum(pid is None or (before is not None and pid != before) for before, pid in pairwise(pids))


def _settled(results: Sequence[Result]) -> list[int]:
    memory = [result.rss_bytes for result in results if result.rss_bytes]
    return memory[int(len(memory) * SETTLED_SHARE) :]


def _median(values: Sequence[int]) -> int:
    return sorted(values)[len(values) // 2]
