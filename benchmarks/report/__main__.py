"""How long the report of 100,000 videos takes, what it weighs, and how fast Chromium opens it.

python -m benchmarks.report --videos 100000 --json
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.command import give
from benchmarks.report.proof import missed_figures, report_scale


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; 1 where one is missed."""
    parser = argparse.ArgumentParser("python -m benchmarks.report", description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=100_000, help="how many the root holds")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="sora-report-") as folder:
        answer = report_scale(Path(folder), num_videos=arguments.videos)
    return give(answer, missed_figures(answer), as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
