"""FAISS on the same vectors, in an environment of its own that has faiss-cpu and numpy alone: VECTORS QUERIES TRUE.

Cosine similarity as its documentation says: inner product of vectors of length 1. Each index is built on all vectors,
and looks at twice as many cells until it finds 0.97 of the true neighbours, or more cells help no more.
"""

import json
import sys
import time
from typing import Any

import faiss
import numpy as np

K, TARGET, THREADS = 10, 0.97, 2
INDEXES = {"pq": "IVF{cells},PQ{half}x8", "sq8": "IVF{cells},SQ8"}  # half: two numbers a byte


def main() -> None:
    """Print one JSON line."""
    vectors, queries, true = (np.load(path) for path in sys.argv[1:4])
    faiss.omp_set_num_threads(THREADS)
    faiss.normalize_L2(vectors)
    faiss.normalize_L2(queries)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    _, exact = flat.search(queries, K)
    answer: dict[str, Any] = {"version": faiss.__version__, "agrees_with_ours": round(recall(exact, true), 4)}
    cells = int(2 ** round(np.log2(len(vectors)) / 2))
    for name, recipe in INDEXES.items():
        answer[name] = measured(recipe.format(cells=cells, half=vectors.shape[1] // 2), vectors, queries, exact)
    print(json.dumps(answer))


def measured(recipe: str, vectors: Any, queries: Any, true: Any) -> dict[str, Any]:
    """Build one index, choose its probes on the first half of the queries, and time the second half one by one."""
    started_s, cpu_s = time.perf_counter(), time.process_time()
    index = faiss.index_factory(vectors.shape[1], recipe, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    build_s, build_cpu_s = time.perf_counter() - started_s, time.process_time() - cpu_s
    half = len(queries) // 2
    index.nprobe, before = 1, -1.0
    while (found := recall(index.search(queries[:half], K)[1], true[:half])) < TARGET and found > before + 0.001:
        index.nprobe, before = 2 * index.nprobe, found
    spent_s, spent_cpu_s, hits = [], [], []
    for query in queries[half:]:
        started_s, cpu_s = time.perf_counter(), time.process_time()
        hits.append(index.search(query[None], K)[1][0])
        spent_s.append(time.perf_counter() - started_s)
        spent_cpu_s.append(time.process_time() - cpu_s)
    return {
        "recipe": recipe,
        "ann_ms": round(float(np.median(spent_s)) * 1e3, 3),
        "ann_cpu_ms": round(float(np.median(spent_cpu_s)) * 1e3, 3),
        "recall_at_10": round(recall(np.array(hits), true[half:]), 4),
        "num_probes": index.nprobe,
        "build_s": round(build_s, 1),
        "build_cpu_s": round(build_cpu_s, 1),
        "index_bytes": len(faiss.serialize_index(index)),
    }


def recall(found: Any, true: Any) -> float:
    """Mean share of the true neighbours that were found."""
    return float(
        np.mean([len(set(one) & set(other)) / K for one, other in zip(found.tolist(), true.tolist(), strict=True)])
    )


if __name__ == "__main__":
    main()
