"""`sora COMMAND ...`: the one console script. Each command is the module `jobs.COMMAND` and loads only when it runs."""

import importlib
import sys
from collections.abc import Sequence

COMMANDS = {
    "demo": "the whole loop on one machine, on a corpus it renders or on your videos",
    "catalog": "list a corpus, probe what changed, commit `videos`",
    "train": "train a model on the cataloged videos and make it the champion",
    "tune": "search for training settings: trials, poor ones stopped early, the best as options",
    "plan": "what an extraction will take: hours, money, bytes, the bottleneck",
    "extract": "give every video without vectors its vectors",
    "evaluate": "how good the vectors are, beside controls: probe, kNN, retrieval, PSNR",
    "compare": "two evaluations side by side",
    "classify": "classes from vectors: train a head, predict, report",
    "promote": "make a model the champion, unless its evaluation speaks against it",
    "search": "the clips or videos most like a clip, a video or a new file",
    "index": "what makes searching large tables fast; adds what is new",
    "dedup": "groups of videos that are nearly the same",
    "behaviour": "behaviours of long videos: segments, profiles, anomalies, two classes",
    "quantize": "a model in eight bits out of another one, faster on CPUs",
    "nightly": "catalog, extract with the champion, sum up; safe to repeat",
    "report": "one HTML page of the root: corpus, failures, runs, model, neighbours, map",
    "sql": "query the tables with DuckDB",
    "status": "what is done, missing, failed and stale",
    "verify": "prove that nothing is lost or doubled, and that every file is whole",
    "maintain": "combine small files, remove old ones, shorten the log",
    "rollback": "take the rows of one run out again",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Dispatch to a job; returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0 if arguments else 2
    name = arguments[0]
    if name not in COMMANDS:
        print(f"sora: there is no command {name!r}\n\n{_usage()}", file=sys.stderr)
        return 2
    return int(importlib.import_module(f"jobs.{name}").main(arguments[1:]))


def _usage() -> str:
    lines = [f"  {name:<10}{text}" for name, text in COMMANDS.items()]
    head = "usage: sora COMMAND [OPTIONS]\n\nVectors learned from your own video, one per time slice, in a table.\n"
    tail = "\n`sora COMMAND --help` explains one. First steps: `sora demo`."
    return "\n".join([head, *lines, tail])


if __name__ == "__main__":
    sys.exit(main())
