"""How our own job grows: with workers, with the corpus, and the memory of its driver with the number of clips.

workers   `whole` with one worker on one core and two on two, start-up apart: the ratio of the rates, over 2
corpus    J-HMDB once and ten times over: seconds a clip, start-up apart; ten times as many over once as many
driver    videos of one clip each (one frame of 16x16, so that days of decoding take minutes), linked under as many
          names; the peak of the driver's resident set with many of them less that with few. The path is the real one:
          catalog, plan, tasks, results, files, commits, one row for each clip.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.decode.rounds import middle, ratio, turns
from benchmarks.extract.contenders import Outcome, Prepared, prepared, run_ours
from benchmarks.extract.corpus import ONE_FRAME, Sizes, jhmdb, placed, write_model
from benchmarks.extract.outcome import clips_per_s

TIMES = 10
_WORKERS = (1, 2)


def scaling(small: Prepared, whole: Prepared, folder: Path, *, num_rounds: int) -> dict[str, Any]:
    """The rates of one worker on one core and of two on two, in turn; Ray's own processes have the same cores.

    Returns:
        clips_per_s of each, and of_linear: the median over the rounds of the ratio of the rates, over 2.
    """
    rates: dict[int, list[float]] = {workers: [] for workers in _WORKERS}
    for _, name in turns([str(workers) for workers in _WORKERS], num_rounds):
        workers = int(name)
        runs = [_outcome(work, folder, f"{workers} workers", num_workers=workers).run for work in (small, whole)]
        rates[workers].append(clips_per_s(*runs))
    one, two = (rates[workers] for workers in _WORKERS)
    return {
        "clips_per_s": {str(workers): middle(found) for workers, found in rates.items()},
        "of_linear": round(ratio(two, one) / (_WORKERS[1] / _WORKERS[0]), 3),
    }


def cost_growth(small: Prepared, model: Path, folder: Path, sizes: Sizes, *, num_rounds: int) -> dict[str, Any]:
    """Seconds a clip, start-up apart, of a corpus and of one that is ten times as large.

    Returns:
        ms_per_clip of each, and tenfold_over_once: the median over the rounds of their ratio.
    """
    videos = jhmdb(sizes.tenfold)
    works = {}
    for times in (1, TIMES):
        corpus = placed(folder / f"x{times}", videos, "clip", number=times * len(videos))
        works[times] = prepared(corpus, model, folder / f"root-x{times}")
    costs_s: dict[int, list[float]] = {times: [] for times in works}
    for _ in range(num_rounds):
        start = _outcome(small, folder, "start-up").run
        for times, work in works.items():
            costs_s[times].append(1 / clips_per_s(start, _outcome(work, folder, f"{times} times J-HMDB").run))
    return {
        "ms_per_clip": {str(times): middle([1000 * cost_s for cost_s in found]) for times, found in costs_s.items()},
        "tenfold_over_once": round(ratio(costs_s[TIMES], costs_s[1]), 3),
    }


def driver_memory(folder: Path, sizes: Sizes) -> dict[str, Any]:
    """Peak resident set of the driver, in MB, with few clips and with many, and the difference."""
    model = write_model(folder / "one-frame", ONE_FRAME)
    videos = jhmdb(min(sizes.few, 900))
    peaks_mb = {}
    for number in (sizes.few, sizes.many):
        corpus = placed(folder / f"{number}", videos, "clip", number=number)
        outcome = _outcome(prepared(corpus, model, folder / f"root-{number}"), folder, f"{number} clips")
        if outcome.run.num_rows != number:
            raise ValueError(f"expected one row a video, {number}, got {outcome.run.num_rows}")
        peaks_mb[number] = outcome.peak_rss_bytes / 10**6
    few_mb, many_mb = peaks_mb.values()
    return {
        "driver_peak_rss_mb": {str(number): round(peak_mb, 1) for number, peak_mb in peaks_mb.items()},
        "driver_rss_growth_mb": round(many_mb - few_mb, 1),
    }


def _outcome(work: Prepared, folder: Path, what: str, *, num_workers: int | None = None) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="run-", dir=folder) as empty:
        outcome = run_ours(work, Path(empty), num_workers=num_workers)
    print(f"{what}: {outcome.run}", file=sys.stderr, flush=True)
    return outcome
