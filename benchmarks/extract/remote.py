"""The same extraction from an S3 server on this machine and from its disk.

The server works on the same cores, so what it costs is in the ratio: a bound from below for a store of its own.
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.decode.rounds import middle, ratio, turns
from benchmarks.extract.contenders import Prepared, prepared, run_ours
from benchmarks.extract.outcome import Run, agreement, clips_per_s
from tests.support.s3_server import S3Server

_BUCKET = "sora-extract"


def from_s3(on_disk: Mapping[str, Prepared], model: Path, folder: Path, *, num_rounds: int) -> dict[str, Any]:
    """Put the corpora into a bucket, and extract them from there and from disk in turn; roots are on disk.

    Args:
        on_disk: `small` and `whole`, cataloged.
        model: The checkpoint.
        folder: Where roots and runs put their files.
    Returns:
        clips_per_s of each; s3_over_disk: the median over the rounds of their ratio; min_cosine of the vectors.
    """
    with _server() as server:
        bucket = server.make_bucket(_BUCKET)
        works = {"disk": on_disk, "s3": {}}
        for name, work in on_disk.items():
            server.filesystem().put(f"{work.corpus}/", f"{_BUCKET}/{name}/", recursive=True)
            works["s3"][name] = prepared(f"{bucket}/{name}", model, folder / f"root-s3-{name}")
        rates: dict[str, list[float]] = {place: [] for place in works}
        vectors = {}
        for _, place in turns(list(works), num_rounds):
            runs: list[Run] = []
            for name in ("small", "whole"):
                with tempfile.TemporaryDirectory(prefix=f"{place}-", dir=folder) as empty:
                    outcome = run_ours(works[place][name], Path(empty))
                runs.append(outcome.run)
            print(f"from {place}: {runs}", file=sys.stderr, flush=True)
            rates[place].append(clips_per_s(*runs))
            vectors[place] = outcome.vectors
    same = agreement(vectors["disk"], vectors["s3"], len(vectors["s3"]))
    return {
        "clips_per_s": {place: middle(found) for place, found in rates.items()},
        "s3_over_disk": round(ratio(rates["s3"], rates["disk"]), 3),
        "min_cosine": same.min_cosine,
        "missing": same.missing,
    }


@contextmanager
def _server() -> Iterator[S3Server]:
    """A server that this process and its children find, and do not find any more afterwards."""
    before = dict(os.environ)
    with S3Server() as server:
        os.environ.update(server.env)
        try:
            yield server
        finally:
            for name in server.env:
                os.environ.pop(name)
                os.environ.update({name: before[name]} if name in before else {})
