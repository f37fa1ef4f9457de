"""From a handful of videos to a search hit, on real Ray, twice: on local disk and on the S3 server."""

import json
from collections import Counter
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import polars
import pyarrow.compute as pc
import pytest

import pipeline
from pipeline import datafiles, registry, schema, storage, tables
from pipeline.corpus.synthetic import render_corpus
from pipeline.errors import ERROR_CLASSES
from tests.support.sora import Sora

pytestmark = pytest.mark.usefixtures("ray_local")
NUM_CLIPS = 12
SAMPLING = ["--frames-per-clip", 8, "--sample-fps", 8, "--stride-s", 0.5, "--size-px", 32]
TRAINING = [
    "--epochs",
    2,
    "--num-workers",
    2,
    "--batch-size",
    4,
    "--validation-fraction",
    0.4,
    "--group-column",
    "-",
    *SAMPLING,
]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small labelled corpus, a twin of one of its videos, a truncated video, and a text."""
    folder = tmp_path_factory.mktemp("rendered") / "corpus"
    labels = render_corpus(folder, num_clips=NUM_CLIPS, duration_s=(1.0, 1.2))
    first = sorted(folder.glob("*/*.mp4"))[0]
    (folder / "twin.mp4").write_bytes(first.read_bytes())
    (folder / "cut.mp4").write_bytes(first.read_bytes()[:700])
    (folder / "notes.txt").write_text("not a video")
    return labels.parent


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place for a corpus and a root."""
    return f"file://{tmp_path}" if request.param == "local" else str(request.getfixturevalue("s3_root"))


def upload(folder: Path, corpus: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            storage.put(storage.join(corpus, str(path.relative_to(folder))), path.read_bytes())


def test_a_corpus_becomes_vectors_that_find_their_twin(place: str, rendered: Path, sora: Sora) -> None:
    corpus, root = storage.join(place, "corpus"), storage.join(place, "root")
    upload(rendered, corpus)
    labels = storage.join(corpus, "labels.csv")
    cataloged = sora("catalog", corpus, "--root", root, "--labels", labels, "--json")
    assert cataloged.code == 0, cataloged.err
    found = cataloged.json
    assert (found["new"], found["failed"], found["ignored"]) == (NUM_CLIPS + 2, 1, 3)  # marker, labels and notes
    assert (found["labelled"], found["distinct_labels"]) == (NUM_CLIPS, 6)

    trained = sora("train", "--root", root, *TRAINING, "--json")
    assert trained.code == 0, trained.err
    metrics = trained.json["metrics"]
    assert metrics["validation_clips"] > 0
    assert metrics["validation_effective_rank"] >= 1
    assert metrics["validation_spread_1"] >= metrics["validation_spread_2"] > 0
    assert metrics["train_clips_per_second"] > 0
    assert "precision" in trained.json["report_text"]
    assert registry.resolve(root).version == "1"

    extracted = sora("extract", "--root", root, "--date", "2026-01-02", "--json")
    assert extracted.code == 0, extracted.err
    assert (extracted.json["videos"], extracted.json["failed"]) == (NUM_CLIPS + 1, 0)
    again = sora("extract", "--root", root, "--json").json
    assert (again["videos"], again["clips"], again["already_done"]) == (0, 0, NUM_CLIPS + 1)

    counts = sora.sql(root, "SELECT count(DISTINCT video_id), count(*), count(DISTINCT clip_id) FROM features")[0]
    assert counts == (NUM_CLIPS + 1, extracted.json["clips"], extracted.json["clips"])
    hits = sora.sql(
        root,
        "SELECT b.uri FROM features a, features b WHERE a.uri LIKE '%/twin.mp4' AND a.clip_index = 0 "
        "AND b.uri NOT LIKE '%/twin.mp4' ORDER BY list_distance(a.embedding, b.embedding) LIMIT 1",
    )
    twin = sorted(rendered.glob("*/*.mp4"))[0]
    assert hits == [(storage.join(corpus, str(twin.relative_to(rendered))),)]
    every_way_of_searching_finds(storage.join(corpus, str(twin.relative_to(rendered))), root, twin, sora)
    every_engine_reads_the_same(root)
    every_column_is_filled(root)


def every_way_of_searching_finds(uri: str, root: str, twin: Path, sora: Sora) -> None:
    copy = storage.join(uri.rpartition("/")[0].rpartition("/")[0], "twin.mp4")
    told = sora("search", copy, "--root", root, "--json")
    assert told.code == 0, told.err
    opened = pipeline.open_root(root)
    for what in (copy, twin):  # a video of the table, and a file
        hits = opened.search(what, k=4).to_pylist()
        assert uri in {hit["uri"] for hit in hits}
        assert hits[0]["similarity"] == pytest.approx(1, abs=1e-5)
    stored = opened.features.arrow(["clip_index", "embedding"], where=pc.field("uri") == uri).sort_by("clip_index")
    np.testing.assert_allclose(opened.embed(twin).vectors, np.stack(stored["embedding"].to_pylist()), atol=1e-5)


def every_column_is_filled(root: str) -> None:
    rows = tables.read(root, "features")
    for column in schema.FEATURES.names:
        assert rows[column].null_count == 0, column
    model = registry.resolve(root)
    assert set(rows["model_digest"].to_pylist()) == {model.digest}
    assert set(rows["ds"].to_pylist()) == {date(2026, 1, 2)}
    assert {len(vector) for vector in rows["embedding"].to_pylist()} == {64}
    failures = tables.read(root, "failures").to_pylist()
    assert {row["error_class"] for row in failures} <= ERROR_CLASSES
    runs = tables.read(root, "runs", ["job", "status", "mlflow_run_id", "config"]).to_pylist()
    assert Counter(row["job"] for row in runs) == {"catalog": 1, "train": 1, "extract": 2}
    assert {row["status"] for row in runs} == {"succeeded"}
    assert all(json.loads(row["config"])["root"] == root for row in runs)
    assert all(row["mlflow_run_id"] for row in runs if row["job"] == "train")


def every_engine_reads_the_same(root: str) -> None:
    arrow = tables.read(root, "features", ["embedding", "clip_index"])
    expected = (arrow.num_rows, pc.sum(arrow["clip_index"]).as_py())
    total = sum(sum(vector) for vector in arrow["embedding"].to_pylist())
    location, options = storage.delta_location(datafiles.table_uri(root, "features"))
    frame = polars.scan_delta(location, storage_options=options).select("embedding", "clip_index").collect()
    assert (frame.height, frame["clip_index"].sum()) == expected
    assert frame["embedding"].list.sum().sum() == pytest.approx(total, rel=1e-5)
    connection = duckdb.connect()
    if not storage.is_local(root):
        connection.register_filesystem(storage.filesystem(root)[0])
    files = tables.open_table(root, "features").file_uris()
    query = "SELECT count(*), sum(clip_index), sum(list_sum(embedding)) FROM read_parquet(?, hive_partitioning = true)"
    rows, indices, summed = connection.execute(query, [files]).fetchone() or (0, 0, 0)
    assert (rows, indices) == expected
    assert summed == pytest.approx(total, rel=1e-5)


def test_nights_take_what_is_new_mark_what_is_gone_and_can_be_repeated(
    tmp_path: Path, rendered: Path, sora: Sora
) -> None:
    corpus, root = tmp_path / "corpus", tmp_path / "root"
    videos = sorted(rendered.glob("*/*.mp4"))
    upload(rendered, f"file://{corpus}")
    no_model = sora("nightly", corpus, "--root", root)
    assert no_model.code == 2
    assert "sora train" in no_model.err
    assert not (root / "tables").exists(), "nothing half-written"

    assert sora("catalog", corpus, "--root", root, "--labels-from-folders", "--warn-failed-share", 1).code == 0
    assert sora("train", "--root", root, *TRAINING).code == 0
    first = sora("nightly", corpus, "--root", root, "--date", "2026-01-02", "--json")
    assert first.json["done"] == NUM_CLIPS + 1
    assert "index" not in first.json
    assert sora("index", "--root", root).code == 0
    (corpus / "late.mp4").write_bytes(videos[1].read_bytes())
    (corpus / "twin.mp4").write_bytes(videos[2].read_bytes())
    (corpus / videos[3].relative_to(rendered)).unlink()
    second = sora("nightly", corpus, "--root", root, "--date", "2026-01-03", "--json")
    assert second.code == 0, second.err
    assert second.json["missing"] == 0
    assert second.json["index"]["num_added"] == second.json["extract"]["clips"]
    third = sora("nightly", corpus, "--root", root, "--date", "2026-01-03", "--json")
    assert (third.json["done"], third.json["clips"]) == (second.json["done"], second.json["clips"])
    by_status = dict(sora.sql(root, "SELECT status, count(*) FROM videos GROUP BY status"))
    assert by_status == {"ok": NUM_CLIPS + 1, "failed": 1, "superseded": 1, "vanished": 1}
    by_night = dict(sora.sql(root, "SELECT ds, count(DISTINCT video_id) FROM features GROUP BY ds ORDER BY ds"))
    assert by_night == {"2026-01-02": NUM_CLIPS + 1, "2026-01-03": 2}
    runs = sora.sql(root, "SELECT job, count(*) FROM runs WHERE job != 'train' GROUP BY job ORDER BY job")
    assert runs == [("catalog", 4), ("extract", 3), ("index", 3)], "an empty night is a run too"


def test_a_training_run_goes_on_where_it_stopped_and_is_not_done_twice(
    tmp_path: Path, rendered: Path, sora: Sora
) -> None:
    root = tmp_path / "root"
    sora("catalog", rendered, "--root", root, "--labels", rendered / "labels.csv")
    base = ["train", "--root", root, "--name", "mine", "--json", *TRAINING]
    first = sora(*base)
    assert first.code == 0, first.err
    assert first.json["metrics"]["epoch"] == 2
    finished = sora(*base)
    assert finished.json["was_finished"] is True
    assert finished.json["model_version"] == first.json["model_version"]
    (root / "models" / "runs" / "mine.finished.json").unlink()
    longer = sora(*base, "--epochs", 3)
    assert longer.code == 0, longer.err
    assert longer.json["metrics"]["epoch"] == 3
    assert longer.json["mlflow_run_id"] == first.json["mlflow_run_id"], "one MLflow run for the life of the run"
    assert longer.json["model_version"] == "2"
