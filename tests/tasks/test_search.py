"""What a search finds, beside a product of all vectors with the query."""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from pipeline import schema, tables
from pipeline.errors import ConfigError, TableError
from pipeline.tasks.retrieval.search import HITS, search
from pipeline.tasks.slices import read_slices
from tests.support.planted import Planted, planted_root
from tests.support.sora import Sora

DIM = 8
RNG = np.random.default_rng(0)
VIDEOS = {
    f"{number}.mp4": Planted(RNG.normal(size=(1 + number % 4, DIM)), columns={"width": 100 * number})
    for number in range(12)
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return planted_root(str(tmp_path_factory.mktemp("search") / "root"), VIDEOS)


def clip_ids_of(root: str, uri: str) -> list[str]:
    rows = tables.read(root, "features", ["clip_id", "clip_index"], pc.field("uri") == uri)
    return rows.sort_by("clip_index")["clip_id"].to_pylist()


def cosines(root: str, queries: np.ndarray) -> dict[str, float]:
    """clip_id -> the similarity to the query that is most like it, by definition."""
    slices = read_slices(root)
    vectors = slices.vectors.astype(np.float64)
    products = vectors @ queries.T
    products /= np.linalg.norm(vectors, axis=1)[:, None] * np.linalg.norm(queries, axis=1)
    return dict(zip(slices.rows["clip_id"].to_pylist(), products.max(axis=1).tolist(), strict=True))


@pytest.mark.parametrize("uri", ["3.mp4", "4.mp4"])
@pytest.mark.parametrize("k", [1, 5, 100])
def test_hits_of_a_video_are_the_clips_with_the_highest_cosine_to_any_of_its_slices(
    root: str, uri: str, k: int
) -> None:
    hits = search(root, uri, k=k)
    assert hits.schema == HITS
    own = set(clip_ids_of(root, uri))
    expected = {clip: one for clip, one in cosines(root, VIDEOS[uri].vectors).items() if clip not in own}
    best = sorted(expected, key=expected.__getitem__, reverse=True)[:k]
    assert hits["clip_id"].to_pylist() == best
    np.testing.assert_allclose(hits["similarity"], [expected[clip] for clip in best], atol=1e-6)
    assert hits["rank"].to_pylist() == list(range(1, len(best) + 1))


def test_a_clip_finds_itself_first_where_its_own_video_may_be_found(root: str) -> None:
    clip = clip_ids_of(root, "7.mp4")[2]
    hits = search(root, clip, k=3, include_self=True).to_pylist()
    assert hits[0]["clip_id"] == clip
    assert hits[0]["similarity"] == pytest.approx(1, abs=1e-6)
    assert (hits[0]["uri"], hits[0]["start_s"], hits[0]["end_s"]) == ("7.mp4", 2.0, 3.0)
    without = search(root, clip, k=100).to_pylist()
    assert "7.mp4" not in {hit["uri"] for hit in without}


def test_a_video_is_found_by_its_uri_its_id_and_its_vectors_alike(root: str) -> None:
    by_uri = search(root, "6.mp4", k=20)
    assert search(root, schema.video_id("6.mp4"), k=20).equals(by_uri)
    by_vectors = search(root, VIDEOS["6.mp4"].vectors, k=100)
    others = by_vectors.filter(pc.not_equal(by_vectors["uri"], "6.mp4"))
    assert others["clip_id"].to_pylist()[:20] == by_uri["clip_id"].to_pylist()


@pytest.mark.parametrize("limit", [1, 2])
def test_no_video_has_more_hits_than_allowed_and_its_best_ones_stay(root: str, limit: int) -> None:
    all_hits = search(root, "1.mp4", k=100).to_pylist()
    seen: dict[str, int] = {}
    expected = []
    for hit in all_hits:
        seen[hit["uri"]] = seen.get(hit["uri"], 0) + 1
        if seen[hit["uri"]] <= limit:
            expected.append(hit["clip_id"])
    assert search(root, "1.mp4", k=10, max_per_video=limit)["clip_id"].to_pylist() == expected[:10]


def test_by_video_the_means_are_compared_and_the_clip_most_like_the_query_is_named(root: str) -> None:
    hits = search(root, "3.mp4", by="video", k=100).to_pylist()
    mean = VIDEOS["3.mp4"].vectors.mean(axis=0)
    expected = {
        uri: float(
            video.vectors.mean(axis=0) @ mean / np.linalg.norm(video.vectors.mean(axis=0)) / np.linalg.norm(mean)
        )
        for uri, video in VIDEOS.items()
        if uri != "3.mp4"
    }
    assert [hit["uri"] for hit in hits] == sorted(expected, key=expected.__getitem__, reverse=True)
    to_mean = cosines(root, mean[None])
    for hit in hits:
        assert hit["similarity"] == pytest.approx(expected[hit["uri"]], abs=1e-5)
        assert hit["clip_id"] == max(clip_ids_of(root, hit["uri"]), key=to_mean.__getitem__)


def test_a_condition_leaves_only_its_videos(root: str) -> None:
    found = {hit["uri"] for hit in search(root, "0.mp4", k=100, where="width >= 900").to_pylist()}
    assert found == {"9.mp4", "10.mp4", "11.mp4"}
    outside = search(root, "0.mp4", k=100, where="width >= 900", by="video").to_pylist()
    assert {hit["uri"] for hit in outside} == found, "the query itself need not meet the condition"


def test_videos_that_are_gone_and_versions_that_are_not_live_are_never_found(tmp_path: Path) -> None:
    root = planted_root(str(tmp_path / "root"), VIDEOS)
    gone = pc.field("uri").isin(["2.mp4", "5.mp4"])
    tables.replace(
        root, "videos", gone, lambda rows: rows.set_column(2, rows.schema.field("version"), [["v2"] * rows.num_rows])
    )
    uris = {hit["uri"] for hit in search(root, "1.mp4", k=100).to_pylist()}
    assert uris == set(VIDEOS) - {"1.mp4", "2.mp4", "5.mp4"}


def test_a_vector_of_length_zero_is_like_nothing(tmp_path: Path) -> None:
    vectors = np.zeros((1, DIM))
    root = planted_root(str(tmp_path / "root"), {"zero.mp4": Planted(vectors), "one.mp4": Planted(vectors + 1)})
    hits = search(root, np.ones(DIM), k=2).to_pylist()
    assert [(hit["uri"], hit["similarity"]) for hit in hits] == [("one.mp4", pytest.approx(1)), ("zero.mp4", 0)]


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        ("nothing.mp4", {}, "nothing to search by"),
        ("0" * 32, {}, "nothing to search by"),
        ("s3://bucket", {"where": "breadth > 1"}, "cannot be used"),
        ("1.mp4", {"k": 0}, "--k"),
        ("1.mp4", {"max_per_video": 0}, "--max-per-video"),
        (np.ones(DIM + 1), {}, "another length"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_words(root: str, query: object, options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        search(root, query, **options)  # type: ignore[arg-type]


def test_a_root_without_vectors_of_the_model_says_the_cure(tmp_path: Path) -> None:
    root = planted_root(str(tmp_path / "root"), {})
    with pytest.raises(TableError, match="sora extract"):
        search(root, "1.mp4")


def test_the_command_prints_what_the_function_finds(root: str, sora: Sora) -> None:
    outcome = sora("search", "1.mp4", "--root", root, "--k", 4, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["hits"] == search(root, "1.mp4", k=4).to_pylist()
    assert outcome.json["method"] == "exact"
    words = sora("search", "1.mp4", "--root", root, "--k", 4)
    assert all(hit["clip_id"] in words.out for hit in outcome.json["hits"])
    assert "exact" in words.out
    wrong = sora("search", "nothing.mp4", "--root", root)
    assert wrong.code == 2
    assert "cure" in wrong.err
