"""What safety costs: our extraction against the same Ray plan that decodes in its own process and writes plain Parquet.

python -m benchmarks.faults.overhead --json

ours:  read from the sandbox, encode, write, report, commit --> a table
plain: read in the worker's process, encode, pyarrow's write_table --> files nobody has checked
Both run in one Ray, by turns, on copies of the same cataloged root. The ratio is that of wall times, pair by pair.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.faults.workload import run_to_end, write_model
from jobs import shell
from jobs.ray_session import connect, ray_session
from pipeline import storage
from pipeline.features.config import ExtractConfig
from tests.support.shared import shared_videos

MAX_OVERHEAD_RATIO = 1.10
_SAMPLING = {"frames_per_clip": 16, "sample_fps": 16.0, "stride_s": 0.5, "size_px": 64}


def overhead(folder: Path, *, num_rounds: int, num_videos: int) -> dict[str, Any]:
    """Pairs of runs, the order of the two changing from pair to pair.

    Args:
        folder: Empty folder for roots and outputs.
        num_rounds: Pairs.
        num_videos: Clips of J-HMDB in the corpus, at most 928.
    Returns:
        overhead_ratio (the median), the ratios of the pairs, and the wall times of both in seconds.
    """
    base, model = f"file://{folder}/base", write_model(folder / "model", _SAMPLING)
    corpus = folder / "corpus"
    corpus.mkdir()
    for index, clip in enumerate(sorted((shared_videos() / "jhmdb").glob("*/*.mp4"))[:num_videos]):
        shutil.copyfile(clip, corpus / f"{index:04d}.mp4")
    run_to_end(["catalog", str(corpus), "--root", base], {})
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    with ray_session():
        connect()
        for number in range(num_rounds + 1):  # the first pair warms Ray and the page cache up, and does not count
            order = ["ours", "plain"] if number % 2 else ["plain", "ours"]
            for name in order:
                took_s = _one_run(name, folder, base, model, number)
                if number:
                    seconds[name].append(took_s)
                print(f"  pair {number}: {name} {took_s:.2f} s", file=sys.stderr, flush=True)
    ratios = [ours / plain for ours, plain in zip(seconds["ours"], seconds["plain"], strict=True)]
    return {"overhead_ratio": statistics.median(ratios), "ratios": ratios, **seconds}


def _one_run(name: str, folder: Path, base: str, model: Path, number: int) -> float:
    from benchmarks.faults.overhead_runs import ours, plain
    from pipeline.features.extract import plan_extract

    root = folder / f"root-{name}-{number}"
    shutil.copytree(storage.local_path(base), root)
    plan = plan_extract(ExtractConfig(str(root), model=str(model)))
    run = {"ours": ours, "plain": plain}[name]
    started_s = time.perf_counter()
    num_clips = run(plan, root)
    took_s = time.perf_counter() - started_s
    assert num_clips > plan.pending.videos.num_rows, f"{name} lost clips: {num_clips}"
    return took_s


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and say with the exit code whether the figure is reached."""
    parser = argparse.ArgumentParser("python -m benchmarks.faults.overhead", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="pairs of runs")
    parser.add_argument("--videos", type=int, default=928, help="clips of J-HMDB, at most 928")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    arguments = parser.parse_args(argv)
    shell.prepare()
    with tempfile.TemporaryDirectory(prefix="sora-overhead-") as folder:
        answer = overhead(Path(folder), num_rounds=arguments.rounds, num_videos=arguments.videos)
    print(json.dumps(answer) if arguments.json else f"overhead_ratio {answer['overhead_ratio']:.3f}")
    return int(answer["overhead_ratio"] > MAX_OVERHEAD_RATIO)


if __name__ == "__main__":
    sys.exit(main())
