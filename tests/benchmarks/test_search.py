"""The benchmark of search: what it writes is searched in the real table, and what it misses is named."""

from pathlib import Path

import numpy as np

from benchmarks.search.corpus import DIM, SLICES_A_VIDEO, write_corpus
from benchmarks.search.proof import missed, search_scale
from pipeline.tasks.slices import read_slices

ANSWER = {"exact_s": 0.5, "ann_ms": 10.0, "recall_at_10": 0.97, "rows": 1_000_000, "faiss_flat_agrees": 1.0}


def test_the_corpus_is_the_same_for_a_seed_and_no_query_is_stored(tmp_path: Path) -> None:
    queries = [write_corpus(str(tmp_path / name), num_rows=800, num_queries=30) for name in ("one", "other")]
    assert queries[0].shape == (30, DIM)
    np.testing.assert_array_equal(queries[0], queries[1])
    slices = read_slices(str(tmp_path / "one"))
    assert slices.vectors.shape == (800, DIM)
    assert len(set(slices.rows["video_id"].to_pylist())) == 800 // SLICES_A_VIDEO
    distances = np.linalg.norm(slices.vectors[None] - queries[0][:, None], axis=2)
    assert distances.min() > 0.1
    assert np.median(distances.min(axis=1)) < 0.5 * np.median(distances), "a query has neighbours"


def test_a_small_corpus_is_searched_exactly_and_through_the_index(tmp_path: Path) -> None:
    answer = search_scale(tmp_path, num_rows=4000, with_peer=False)
    assert answer["rows"] == 4000
    assert answer["recall_at_10"] >= 0.95
    assert answer["index_bytes"] > 0
    assert answer["kept_bytes"] > 0
    assert answer["exact_s"] > 0
    assert answer["ann_ms"] > 0
    assert "cells" in answer["how"]


def test_a_missed_figure_is_named() -> None:
    assert missed(ANSWER) == []
    assert missed({**ANSWER, "exact_s": 1.5}) == ["exact_s 1.5, less than 1.0"]
    assert missed({**ANSWER, "ann_ms": 60.0, "recall_at_10": 0.9}) == [
        "recall@10 0.9, at least 0.95",
        "ann_ms 60.0, less than 50.0",
    ]
    assert missed({**ANSWER, "exact_s": 15.0, "rows": 10_000_000}) == []
    assert missed({**ANSWER, "faiss_flat_agrees": 0.9}) == ["FAISS finds other true neighbours: 0.9 of ours"]
