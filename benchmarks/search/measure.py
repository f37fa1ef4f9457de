"""Search one root in a process that has done nothing else, and print what it took: python -m benchmarks.search.measure

Cold: the tables are opened and the first query answered. Warm: the median of queries after as many others.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.plan.measure import peak_rss_bytes
from pipeline.tasks.retrieval.ann import unit
from pipeline.tasks.retrieval.recall import true_neighbours
from pipeline.tasks.retrieval.search import Found, Searcher
from pipeline.tasks.retrieval.source import Source

K = 10
NUM_EXACT = 7


@dataclass(frozen=True)
class Timed:
    """What was found, seconds on the clock, and seconds of processor time of all threads."""

    found: Found
    wall_s: float
    cpu_s: float


def timed(answer: Callable[[], Found]) -> Timed:
    """Ask once."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    found = answer()
    return Timed(found, time.perf_counter() - wall_s, time.process_time() - cpu_s)


def measured(root: str, queries: NDArray[np.float32], vectors_to: Path) -> dict[str, Any]:
    """Cold and warm times, and the recall of the second half of the queries; all vectors are saved for the peer.

    Args:
        root: The root's URI.
        queries: float32 (Q, D).
        vectors_to: A .npy file of float32 (N, D) in the order of the table, and of the true neighbours, int64 (Q, K).
    """
    before_bytes = peak_rss_bytes()
    cold = timed(lambda: Searcher(root, index_from_rows=1).search(queries[0], k=K))
    assert cold.found.method == "index", cold.found.how
    searcher = Searcher(root, index_from_rows=1)
    exact = [timed(lambda q=q: searcher.search(q, k=K, exact=True)) for q in queries[:NUM_EXACT]]
    exact_bytes = peak_rss_bytes()
    half = len(queries) // 2
    for query in queries[:half]:
        searcher.search(query, k=K)
    answers = [timed(lambda q=q: searcher.search(q, k=K)) for q in queries[half:]]
    source = searcher.source
    true = np.array(true_neighbours(source, unit(queries), np.full(len(queries), -1, np.int32)))
    shares = [
        len(set(one.found.hits["clip_id"].to_pylist()) & set(source.rows_at(numbers)["clip_id"].to_pylist())) / K
        for one, numbers in zip(answers, true[half:], strict=True)
    ]
    _save(vectors_to, source, true)
    return {
        "exact_s": round(statistics.median(one.wall_s for one in exact), 3),
        "exact_cpu_s": round(statistics.median(one.cpu_s for one in exact), 3),
        "exact_first_s": round(exact[0].wall_s, 3),
        "ann_ms": round(statistics.median(one.wall_s for one in answers) * 1e3, 2),
        "ann_cpu_ms": round(statistics.median(one.cpu_s for one in answers) * 1e3, 2),
        "ann_p95_ms": round(float(np.quantile([one.wall_s for one in answers], 0.95)) * 1e3, 2),
        "ann_cold_ms": round(cold.wall_s * 1e3, 1),
        "ann_cold_cpu_ms": round(cold.cpu_s * 1e3, 1),
        "recall_at_10": round(float(np.mean(shares)), 4),
        "how": cold.found.how,
        "kept_bytes": searcher.num_bytes_kept,
        "exact_peak_bytes": exact_bytes - before_bytes,
    }


def _save(path: Path, source: Source, true: NDArray[np.int64]) -> None:
    np.save(path, np.concatenate([batch.vectors for batch in source.batches()]))
    np.save(path.with_suffix(".true.npy"), true)


def main(argv: Sequence[str] | None = None) -> int:
    """Print one JSON line."""
    parser = argparse.ArgumentParser("python -m benchmarks.search.measure", description=__doc__)
    for name in ("root", "queries", "vectors_to"):
        parser.add_argument(name)
    arguments = parser.parse_args(argv)
    print(json.dumps(measured(arguments.root, np.load(arguments.queries), Path(arguments.vectors_to))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
