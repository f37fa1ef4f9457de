"""The index: nothing that is there is lost to it, nothing that is gone is found, and it is a table like any other."""

from pathlib import Path

import duckdb
import numpy as np
import pyarrow.compute as pc
import pytest
from numpy.typing import NDArray

from pipeline import datafiles, registry, schema, storage, tables
from pipeline.errors import TableError
from pipeline.tasks.retrieval import ann, index_layout
from pipeline.tasks.retrieval.index_build import build_index
from pipeline.tasks.retrieval.ranking import best_rows
from pipeline.tasks.retrieval.search import Searcher
from tests.support.planted import Planted, planted_root
from tests.support.sora import Sora

DIM, KINDS = 16, 40


def footage(first: int, number: int, *, seed: int = 0) -> dict[str, Planted]:
    """Videos of five slices each around the same forty centres."""
    centres = np.random.default_rng(99).normal(size=(KINDS, DIM))
    generator = np.random.default_rng(seed + first)
    return {
        f"{video}.mp4": Planted(centres[generator.integers(KINDS)] + 0.3 * generator.normal(size=(5, DIM)))
        for video in range(first, first + number)
    }


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A root with 1000 vectors and their index, once on local disk and once on the S3 server."""
    place = str(tmp_path / "root") if request.param == "local" else request.getfixturevalue("s3_root")
    uri = planted_root(place, footage(0, 200))
    build_index(uri)
    return uri


@pytest.fixture
def local(tmp_path: Path) -> str:
    return planted_root(str(tmp_path / "root"), footage(0, 200))


def indexed(root: str) -> dict[str, str]:
    """clip_id -> index_key of every row of the index."""
    rows = tables.read(root, "search_index", ["clip_id", "index_key"])
    return dict(zip(rows["clip_id"].to_pylist(), rows["index_key"].to_pylist(), strict=True))


def clips(root: str) -> set[str]:
    return set(tables.read(root, "features", ["clip_id"])["clip_id"].to_pylist())


def found(root: str, query: object, *, k: int = 10, **options: object) -> list[str]:
    """clip_ids found through the index."""
    answer = Searcher(root, index_from_rows=1).search(query, k=k, **options)  # type: ignore[arg-type]
    assert answer.method == "index", answer.how
    return answer.hits["clip_id"].to_pylist()


def exact(root: str, query: object, *, k: int = 10) -> list[str]:
    return Searcher(root).search(query, k=k, exact=True).hits["clip_id"].to_pylist()  # type: ignore[arg-type]


def queries(number: int) -> NDArray[np.float64]:
    vectors = np.concatenate([video.vectors for video in footage(5000, number).values()])
    return vectors[::5]


def recall(root: str, number: int = 40) -> float:
    through_index, exactly = Searcher(root, index_from_rows=1), Searcher(root)
    shares = []
    for query in queries(number):
        answer, true = through_index.search(query), exactly.search(query, exact=True)
        assert answer.method == "index"
        ids = set(true.hits["clip_id"].to_pylist())
        shares.append(len(ids & set(answer.hits["clip_id"].to_pylist())) / len(ids))
    return float(np.mean(shares))


def test_every_vector_has_one_code_and_searches_find_nearly_what_exact_ones_do(root: str) -> None:
    assert set(indexed(root)) == clips(root)
    assert tables.read(root, "search_index").num_rows == 1000
    assert recall(root, 20) >= 0.95
    similar = Searcher(root, index_from_rows=1).search(queries(1)[0], k=5)
    true = Searcher(root).search(queries(1)[0], k=5, exact=True)
    np.testing.assert_allclose(similar.hits["similarity"], true.hits["similarity"], atol=0.01)
    assert similar.hits.select(["video_id", "uri", "start_s", "end_s"]).num_rows == 5


def test_a_new_night_is_found_before_the_index_has_it_and_added_without_touching_the_rest(local: str) -> None:
    first = build_index(local)
    assert (first.is_retrained, first.num_added, first.num_removed) == (True, 1000, 0)
    before = {file.path for file in datafiles.files("search_index", tables.open_table(local, "search_index"))}
    planted_root(local, footage(200, 20))
    assert recall(local) >= 0.95, "what is not in the index is looked at exactly"
    new = sorted(footage(200, 20).items())[0]
    assert found(local, new[1].vectors[0], k=1) == exact(local, new[1].vectors[0], k=1)
    second = build_index(local)
    assert (second.is_retrained, second.num_added, second.num_removed) == (False, 100, 0)
    assert second.index_key == first.index_key
    after = {file.path for file in datafiles.files("search_index", tables.open_table(local, "search_index"))}
    assert before < after
    assert set(indexed(local)) == clips(local)
    again = build_index(local)
    assert (again.num_added, again.num_removed, again.is_retrained) == (0, 0, False)


def test_what_is_gone_is_not_found_and_leaves_with_the_next_build(local: str) -> None:
    build_index(local)
    gone = pc.field("uri").isin(["3.mp4", "4.mp4"])
    lost = set(tables.read(local, "features", ["clip_id"], gone)["clip_id"].to_pylist())
    query = footage(0, 200)["3.mp4"].vectors[0]
    assert lost & set(found(local, query))
    tables.replace(local, "videos", pc.field("uri") == "3.mp4", lambda rows: rows.slice(0, 0))
    tables.replace(local, "features", pc.field("uri") == "4.mp4", lambda rows: rows.slice(0, 0))
    assert not lost & set(found(local, query, k=500))
    built = build_index(local)
    assert (built.num_removed, built.num_added) == (10, 0)
    assert not lost & set(indexed(local))
    assert not lost & set(found(local, query, k=500))


def test_centroids_are_made_anew_when_the_table_has_doubled_and_only_the_new_index_stays(local: str) -> None:
    first = build_index(local)
    planted_root(local, footage(200, 200))
    second = build_index(local)
    assert second.is_retrained
    assert second.index_key != first.index_key
    assert set(indexed(local).values()) == {second.index_key}
    assert set(indexed(local)) == clips(local)
    assert tables.read(local, "search_index").num_rows == 2000
    layouts = [one.uri for one in storage.list_objects(storage.join(local, "search")) if "safetensors" in one.uri]
    assert len(layouts) == 1
    assert build_index(local, rebuild=True).index_key == second.index_key, "the same vectors give the same cells"
    assert tables.read(local, "search_index").num_rows == 2000


def test_an_index_of_another_model_is_not_used_and_stays_beside(local: str) -> None:
    build_index(local)
    planted_root(local, footage(300, 100), version="2")
    answer = Searcher(local, index_from_rows=1).search(queries(1)[0])
    assert answer.method == "exact"
    assert "no index" in answer.how
    build_index(local)
    assert tables.read(local, "search_index").num_rows == 1500
    assert Searcher(local, index_from_rows=1).search(queries(1)[0]).method == "index"
    assert Searcher(local, "1", index_from_rows=1).search(queries(1)[0]).method == "index"


def test_small_tables_are_searched_exactly(local: str) -> None:
    build_index(local)
    answer = Searcher(local).search(queries(1)[0])
    assert (answer.method, "fewer than" in answer.how) == ("exact", True)


def test_conditions_limits_and_the_query_itself_hold_in_the_index_too(local: str) -> None:
    build_index(local)
    searcher = Searcher(local, index_from_rows=1)
    hits = searcher.search("7.mp4", k=50, max_per_video=2).hits
    assert max(np.unique(hits["video_id"].to_pylist(), return_counts=True)[1]) == 2
    assert "7.mp4" not in hits["uri"].to_pylist()
    assert "7.mp4" in searcher.search("7.mp4", k=50, include_self=True).hits["uri"].to_pylist()
    some = Searcher(local, where="uri IN ('1.mp4', '2.mp4') OR uri LIKE '1%'", index_from_rows=1).search("7.mp4", k=300)
    assert some.method == "index"
    assert all(uri[0] == "1" or uri == "2.mp4" for uri in some.hits["uri"].to_pylist())
    few = Searcher(local, where="uri = '1.mp4'", index_from_rows=1).search("7.mp4")
    assert (few.method, few.hits.num_rows) == ("exact", 5)


def test_plain_sql_on_the_index_gives_the_same_hits(local: str) -> None:
    build_index(local)
    query = queries(1)[0]
    state = index_layout.read_state(local, registry.resolve(local))
    assert state is not None
    layout = index_layout.read_layout(local, registry.resolve(local), state.index_key)
    cells = np.argsort(-(layout.centroids @ query), kind="stable")[: state.num_probes]
    files = tables.open_table(local, "search_index").file_uris()
    rows = duckdb.execute(
        "SELECT clip_id FROM read_parquet(?, hive_partitioning = true, hive_types = {'model_version': VARCHAR, "
        "'index_key': VARCHAR, 'shard': INTEGER}) WHERE model_version = '1' AND index_key = ? "
        "AND list_contains(?::INTEGER[], shard) AND list_contains(?::INTEGER[], cell) "
        "ORDER BY list_cosine_similarity(code::FLOAT[], ?::FLOAT[]) DESC LIMIT 10",
        [files, state.index_key, np.unique(layout.shards[cells]).tolist(), cells.tolist(), query.tolist()],
    ).fetchall()
    assert [row[0] for row in rows] == found(local, query)


def test_a_root_without_the_table_is_searched_exactly_and_still_read(local: str, sora: Sora) -> None:
    folder = storage.local_path(datafiles.table_uri(local, "search_index"))
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    folder.rmdir()
    assert Searcher(local, index_from_rows=1).search(queries(1)[0]).method == "exact"
    assert sora.sql(local, "SELECT count(*) FROM search_index") == [(0,)]
    assert sora("maintain", "--root", local).code == 0
    assert sora("verify", "--root", local).code == 0
    assert sora("index", "--root", local).code == 0
    assert sora.sql(local, "SELECT count(*) FROM search_index") == [(1000,)]


def test_very_small_tables_have_an_index_without_a_recall(tmp_path: Path) -> None:
    root = planted_root(str(tmp_path / "root"), footage(0, 1))
    built = build_index(root)
    assert (built.num_rows, built.recall) == (5, None)
    assert sorted(found(root, queries(1)[0])) == sorted(clips(root))
    tables.replace(root, "videos", pc.field("video_id") != "", lambda rows: rows.slice(0, 0))
    with pytest.raises(TableError, match="there now"):
        build_index(root, rebuild=True)


def test_the_command_says_what_it_built(local: str, sora: Sora) -> None:
    outcome = sora("index", "--root", local, "--json")
    assert outcome.code == 0, outcome.err
    assert (outcome.json["num_added"], outcome.json["num_rows"]) == (1000, 1000)
    assert outcome.json["recall"]["at_10"] >= 0.9, "of 48 queries; 0.95 is held to above"
    again = sora("index", "--root", local)
    assert "0 vectors added" in again.out
    assert "recall@10" in again.out
    answer = sora("search", "7.mp4", "--root", local, "--index-from-rows", 1, "--json").json
    assert answer["method"] == "index"


def test_two_builds_at_once_leave_every_row_once(local: str) -> None:
    model = registry.resolve(local)
    build_index(local)
    first = tables.read(local, "search_index")
    assert tables.append(local, "search_index", first) == 0, "a video that is there is not added again"
    assert index_layout.read_state(local, model) is not None
    assert tables.read(local, "search_index").num_rows == 1000


def test_codes_keep_directions() -> None:
    vectors = np.random.default_rng(0).normal(size=(500, 64)).astype(np.float32) * 1000
    codes = ann.codes_of(vectors).astype(np.float32)
    assert np.abs(codes).max() == 127
    cosine = (ann.unit(codes) * ann.unit(vectors)).sum(axis=1)
    assert (cosine > 1 - 1e-4).all()
    assert not ann.codes_of(np.zeros((1, 4), np.float32)).any()


@pytest.mark.parametrize(
    ("num_rows", "cells", "shards"), [(0, 1, 1), (1000, 32, 1), (10**6, 1024, 32), (10**9, 16384, 256)]
)
def test_cells_grow_with_the_square_root_and_shards_with_the_rows(num_rows: int, cells: int, shards: int) -> None:
    assert (ann.num_cells(num_rows), ann.num_shards(num_rows)) == (cells, shards)


def test_shards_are_equally_many_cells_and_neighbours_share_one() -> None:
    centroids = ann.unit(np.random.default_rng(0).normal(size=(64, 8)))
    shards = ann.shards_of(centroids, 8)
    assert np.bincount(shards).tolist() == [8] * 8
    products = centroids @ centroids.T
    together = shards[:, None] == shards
    np.fill_diagonal(together, False)
    assert products[together].mean() > products[~together].mean() + 0.1


def test_every_cell_of_a_training_is_a_direction_even_where_vectors_repeat() -> None:
    sample = ann.unit(np.repeat(np.eye(4, dtype=np.float32), 10, axis=0))
    centroids = ann.train(sample, 16)
    np.testing.assert_allclose(ann.lengths(centroids), 1, atol=1e-6)
    assert (ann.nearest_cells(sample, centroids) < len(centroids)).all()


@pytest.mark.parametrize(
    ("similarity", "videos", "k", "limit", "expected"),
    [
        ([0.1, 0.9, 0.5], [0, 1, 2], 2, None, [1, 2]),
        ([0.5, 0.5, 0.5], [0, 1, 2], 2, None, [0, 1]),
        ([0.9, 0.8, 0.7, 0.1], [0, 0, 0, 1], 3, 2, [0, 1, 3]),
        ([0.9, 0.8], [0, 0], 5, 1, [0]),
        ([], [], 3, None, []),
    ],
)
def test_the_best_rows_come_first_and_ties_in_order(
    similarity: list[float], videos: list[int], k: int, limit: int | None, expected: list[int]
) -> None:
    found = best_rows(np.array(similarity, np.float32), np.array(videos, np.int32), k, limit)
    assert found.tolist() == expected


def test_partitions_are_what_prunes() -> None:
    assert schema.PARTITIONS["search_index"] == ["model_version", "index_key", "shard"]
