"""Search in a million vectors of the real table: exact, through the index, and FAISS on the same vectors.

python -m benchmarks.search --rows 1000000 --json
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import command
from benchmarks.environments import python_of
from benchmarks.search.corpus import write_corpus
from pipeline.tasks.retrieval.index_build import build_index

ROWS, NUM_QUERIES = 1_000_000, 400
PEER = ("faiss-cpu==1.15.1", "numpy==2.4.6")
MAX_EXACT_S, MAX_ANN_MS, MIN_RECALL = 1.0, 50.0, 0.95
_PROMISED_ROWS = 1_000_000


def search_scale(folder: Path, *, num_rows: int, with_peer: bool = True) -> dict[str, Any]:
    """Write the corpus, build the index, and search it in a process of its own; then the peer in another.

    Args:
        folder: An empty folder.
        num_rows: Vectors.
        with_peer: Whether FAISS is measured too.
    """
    root, queries, vectors = str(folder / "root"), folder / "queries.npy", folder / "vectors.npy"
    np.save(queries, write_corpus(root, num_rows=num_rows, num_queries=NUM_QUERIES))
    before_s = time.process_time()
    built = build_index(root)
    build_cpu_s = time.process_time() - before_s
    ours = _output([sys.executable, "-m", "benchmarks.search.measure", root, str(queries), str(vectors)])
    answer = {
        **ours,
        "build_s": round(built.seconds, 1),
        "build_cpu_s": round(build_cpu_s, 1),
        "index_bytes": built.num_bytes,
        "recall_at_build": round(built.recall.at_10, 4) if built.recall else None,
        "rows": num_rows,
        "cpu_count": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }
    return answer | (_peer(queries, vectors) if with_peer else {})


def _peer(queries: Path, vectors: Path) -> dict[str, Any]:
    worker = Path(__file__).parent / "faiss_worker.py"
    found = _output(
        [str(python_of("faiss", PEER)), str(worker), str(vectors), str(queries), str(vectors.with_suffix(".true.npy"))]
    )
    answer = {f"faiss_{name}": value for name, value in found["pq"].items()}
    answer |= {f"faiss_sq8_{name}": value for name, value in found["sq8"].items()}
    return answer | {"faiss_version": found["version"], "faiss_flat_agrees": found["agrees_with_ours"]}


def _output(line: Sequence[str]) -> dict[str, Any]:
    environ = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}  # threads that wait leave the CPU to the others
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True, env=environ)
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def missed(answer: Mapping[str, Any]) -> list[str]:
    """The figures that are not reached, in words."""
    words = (
        [] if answer["recall_at_10"] >= MIN_RECALL else [f"recall@10 {answer['recall_at_10']}, at least {MIN_RECALL}"]
    )
    if answer["rows"] <= _PROMISED_ROWS:
        for name, most in (("exact_s", MAX_EXACT_S), ("ann_ms", MAX_ANN_MS)):
            words += [f"{name} {answer[name]}, less than {most}"] if answer[name] >= most else []
    if answer.get("faiss_flat_agrees", 1.0) < 0.999:
        words.append(f"FAISS finds other true neighbours: {answer['faiss_flat_agrees']} of ours")
    return words


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; 1 where one is missed."""
    parser = argparse.ArgumentParser("python -m benchmarks.search", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS, help="vectors in the table")
    parser.add_argument("--without-peer", action="store_true", help="leave FAISS out")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="sora-search-") as folder:
        answer = search_scale(Path(folder), num_rows=arguments.rows, with_peer=not arguments.without_peer)
    return command.give(answer, missed(answer), as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
