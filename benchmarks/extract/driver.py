"""Our own job, `sora extract`, in a process that says at its end how much memory its driver took.

python -m benchmarks.extract.driver FIGURES.json --root ROOT ...     the arguments of `python -m jobs.extract`
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from jobs.extract import main as extract


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job and write peak_rss_bytes, the largest resident set of the driver; give its exit code."""
    figures, *arguments = sys.argv[1:] if argv is None else argv
    code = extract(arguments)
    from benchmarks.plan.measure import peak_rss_bytes  # imports Ray, which the job's settings must come before

    Path(figures).write_text(json.dumps({"peak_rss_bytes": peak_rss_bytes()}))
    return code


if __name__ == "__main__":
    sys.exit(main())
