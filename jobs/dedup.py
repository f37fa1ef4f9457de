"""Find groups of videos that are nearly the same, and say why; nothing is changed.

content: the coded video is the same to the bit. perceptual: what it looks like differs in at most 10 of 64 bits. Both
need the previews of `sora catalog --preview`. vectors: every slice is like the slice at its place in the other.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from jobs.shell import Answer, Job, main as shell_main
from pipeline.tasks.retrieval.dedup import THRESHOLD, near_duplicates


@dataclass(frozen=True)
class DedupConfig:
    """How near is nearly the same."""

    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""
    threshold: float = THRESHOLD
    """Cosine similarity that every pair of slices must reach, in (0, 1]."""
    model: str = "champion"
    """champion, a version number of the root, models:/NAME@ALIAS, or the URI of a checkpoint folder."""
    where: str | None = None
    """Only videos like this, in SQL over the columns of `videos`."""


def run(job: Job[DedupConfig]) -> int:
    """Look for groups, and print them."""
    config = job.config
    rows = near_duplicates(config.root, threshold=config.threshold, model=config.model, where=config.where).to_pylist()
    groups = [list(members) for _, members in groupby(rows, key=lambda row: row["group"])]
    return job.give(Answer({"num_groups": len(groups), "num_videos": len(rows), "groups": groups}, _text(groups)))


def _text(groups: list[list[dict[str, Any]]]) -> str:
    if not groups:
        return "no two videos are nearly the same"
    lines = [f"{len(groups)} groups, {sum(len(group) - 1 for group in groups)} videos more than needed"]
    for group in groups:
        lines += ["", *(f"  {row['uri']}  ({_reasons(row)})" for row in group)]
    return "\n".join(lines)


def _reasons(row: dict[str, Any]) -> str:
    said = {"content": "same coded video", "perceptual": f"{row['different_bits']} of 64 bits differ"}
    if row["similarity"] is not None:
        said["vectors"] = f"slices alike to {row['similarity']:.4f}"
    return ", ".join(said[reason] for reason in row["reasons"])


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job."""
    return shell_main("dedup", __doc__, DedupConfig, run, argv)


if __name__ == "__main__":
    sys.exit(main())
