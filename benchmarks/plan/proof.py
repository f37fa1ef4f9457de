"""How long the plan of an extraction takes, and how much memory its driver, over a catalog of a million videos.

python -m benchmarks.plan --videos 1000000 --json
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.plan.catalog import MODEL_VERSION, Shares, shares, write_catalog
from pipeline import storage

MAX_ANTI_JOIN_S, MAX_RSS_MB = 30.0, 1000
_PROMISED_VIDEOS = 1_000_000  # the figures are promised up to here; beyond, they are reported
_NEW_MODEL = "new"  # nothing is done under it: the first night, and the backfill of a model


def plan_scale(folder: Path, *, num_videos: int) -> dict[str, Any]:
    """Write the catalog below `folder`, and plan it twice, each time in a process of its own.

    Returns:
        `mostly_done` (90 % have vectors) and `first_run` (none has): what plan.measure printed, and `is_exact`,
        whether it counted what the catalog holds; `write_s`, seconds to write the tables.
    """
    root, start_s = storage.normalize(str(folder / "root")), time.monotonic()
    write_catalog(root, num_videos=num_videos)
    write_s = round(time.monotonic() - start_s, 1)
    held = shares(num_videos)
    first = Shares(num_videos, done=0, given_up=held.given_up, due_again=held.due_again)
    return {
        "mostly_done": _measured(root, MODEL_VERSION, held),
        "first_run": _measured(root, _NEW_MODEL, first),
        "write_s": write_s,
    }


def missed_figures(answer: dict[str, Any]) -> list[str]:
    """The figures that are not reached, in words."""
    missed = []
    for name in ("mostly_done", "first_run"):
        plan = answer[name]
        checks = {f"{name}: the counts are wrong": not plan["is_exact"]}
        if plan["videos"] <= _PROMISED_VIDEOS:
            seconds, rss_mb = plan["anti_join_s"], plan["peak_rss_mb"]
            checks[f"{name}: {seconds} s, at most {MAX_ANTI_JOIN_S}"] = seconds > MAX_ANTI_JOIN_S
            checks[f"{name}: {rss_mb} MB, at most {MAX_RSS_MB}"] = rss_mb > MAX_RSS_MB
        missed += [words for words, is_missed in checks.items() if is_missed]
    return missed


def _measured(root: str, model_version: str, expected: Shares) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.plan.measure", root, model_version]
    plan = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    counts = [plan[name] for name in ("videos", "done", "given_up", "pending")]
    is_exact = counts == [expected.videos, expected.done, expected.given_up, expected.pending]
    return {**plan, "is_exact": is_exact and plan["due_again"] == expected.due_again}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; 1 where one is missed."""
    parser = argparse.ArgumentParser("python -m benchmarks.plan", description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=_PROMISED_VIDEOS, help="how many the catalog holds")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="sora-plan-") as folder:
        answer = plan_scale(Path(folder), num_videos=arguments.videos)
    print(json.dumps(answer) if arguments.json else "\n".join(f"{name}: {value}" for name, value in answer.items()))
    missed = missed_figures(answer)
    for figure in missed:
        print(f"missed: {figure}", file=sys.stderr)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
