"""Set the evaluations of two models side by side: difference, and whether the intervals overlap."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tyro.conf import Positional

from jobs.shell import Answer, Job, main as shell_main
from pipeline import registry, storage
from pipeline.evaluate import record
from pipeline.evaluate.comparison import compare


@dataclass(frozen=True)
class CompareConfig:
    """The two models."""

    model_a: Positional[str]
    """A version number of the root, or champion."""
    model_b: Positional[str]
    """The one to compare with it."""
    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""


def run(job: Job[CompareConfig]) -> int:
    """Read both evaluations, and print the figures."""
    root = storage.normalize(job.config.root)
    versions = [registry.resolve(root, name).version for name in (job.config.model_a, job.config.model_b)]
    a, b = (record.read(root, version) for version in versions)
    found = compare(a, b)
    lines = [f"| figure | model {found.model_a} | model {found.model_b} | difference |", "|---|---|---|---|"]
    lines += [f"| {one.figure} | {_text(one.a)} | {_text(one.b)} | {_text(one.difference)} |" for one in found.figures]
    verb = "overlap" if found.intervals_overlap else "do not overlap"
    lines += ["", f"The 95 % intervals of the linear probes {verb}."]
    return job.give(Answer(asdict(found), "\n".join(lines)))


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job."""
    return shell_main("compare", __doc__, CompareConfig, run, argv)


if __name__ == "__main__":
    sys.exit(main())
