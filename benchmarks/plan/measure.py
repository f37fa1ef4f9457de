"""Plan one extraction as its driver does, in a process that has done nothing else, and print what it took."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc

from benchmarks.plan.catalog import DUE_AGAIN_ATTEMPTS, SAMPLING_DIGEST
from pipeline.features import extract  # for the imports alone: torch and Ray are part of the driver's memory
from pipeline.features.pending import find_pending, task_boundaries
from pipeline.features.retry import RetryPolicy


def peak_rss_bytes() -> int:
    """The largest resident set of this process so far.

    Not getrusage's ru_maxrss: a child inherits there what its parent had, however little it takes itself.
    """
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main(argv: Sequence[str] | None = None) -> int:
    """Print one JSON line."""
    parser = argparse.ArgumentParser("python -m benchmarks.plan.measure", description=__doc__)
    parser.add_argument("root")
    parser.add_argument("model_version")
    arguments = parser.parse_args(argv)
    assert extract.__name__ in sys.modules
    imported_bytes = peak_rss_bytes()
    start_s = time.monotonic()
    pending = find_pending(
        arguments.root,
        model_version=arguments.model_version,
        sampling_digest=SAMPLING_DIGEST,
        policy=RetryPolicy(),
    )
    planned_s, plan_bytes = time.monotonic(), peak_rss_bytes()
    ranges = task_boundaries(pending.videos["duration_s"].to_pylist())
    figures = {
        "videos": pending.num_cataloged,
        "done": pending.num_done,
        "given_up": pending.num_given_up,
        "pending": pending.videos.num_rows,
        "due_again": pc.sum(pc.equal(pending.videos["attempts"], DUE_AGAIN_ATTEMPTS)).as_py(),
        "tasks": len(ranges),
        "anti_join_s": round(planned_s - start_s, 2),
        "boundaries_s": round(time.monotonic() - planned_s, 2),
        "imported_rss_mb": imported_bytes // 10**6,
        "planned_rss_mb": plan_bytes // 10**6,
        "peak_rss_mb": peak_rss_bytes() // 10**6,
        "pending_mb": pending.videos.nbytes // 10**6,
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
