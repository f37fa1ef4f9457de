"""Real codecs and real damage through the jobs: every file ends in features or failures, none is missing."""

import os
from pathlib import Path

import pytest

from pipeline.errors import ERROR_CLASSES
from pipeline.model.autoencoder import build_model
from pipeline.model.checkpoint import save_checkpoint
from pipeline.model.config import sora_xs
from tests.support.shared import shared_videos
from tests.support.sora import Sora

pytestmark = [pytest.mark.usefixtures("ray_local"), pytest.mark.shared_videos]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """An untrained network: what it says does not matter here."""
    sampling = {"frames_per_clip": 8, "sample_fps": 8.0, "stride_s": 2.0, "size_px": 32}
    save_checkpoint(tmp_path / "model", build_model(sora_xs(), num_classes=0), labels=[], sampling=sampling, metrics={})
    return tmp_path / "model"


def test_every_file_ends_in_features_or_failures(tmp_path: Path, model: Path, sora: Sora) -> None:
    root, videos = tmp_path / "root", shared_videos()
    good = sora("catalog", videos / "codecs", "--root", root, "--json")
    assert (good.code, good.json["new"], good.json["failed"]) == (0, 66, 0)
    bad = sora("catalog", videos / "broken", "--root", root, "--json")
    assert bad.code == 10, "done, with failures over the threshold"
    assert bad.json["new"] == 89
    extracted = sora("extract", "--root", root, "--model", model, "--json")
    assert extracted.code in (0, 10), extracted.err
    in_features = {uri for (uri,) in sora.sql(root, "SELECT DISTINCT uri FROM features")}
    in_failures = {uri for (uri,) in sora.sql(root, "SELECT DISTINCT uri FROM failures")}
    complete = {uri for (uri,) in sora.sql(root, "SELECT DISTINCT uri FROM failures WHERE error_class != 'partial'")}
    folders = (Path(os.path.abspath(videos / name)) for name in ("codecs", "broken"))
    files = {f"file://{path}" for folder in folders for path in folder.iterdir() if path.name != "index.csv"}
    assert len(files) == 155
    assert in_features | in_failures == files
    assert not in_features & complete, "a video that failed has no vectors; a partial one keeps its good slices"
    classes = {name for (name,) in sora.sql(root, "SELECT DISTINCT error_class FROM failures")}
    assert classes <= ERROR_CLASSES
    again = sora("extract", "--root", root, "--model", model, "--json").json
    assert (again["videos"], again["given_up"]) == (0, extracted.json["failed"])


def test_headers_that_lie_cost_nothing(tmp_path: Path, model: Path, sora: Sora) -> None:
    root = tmp_path / "root"
    found = sora("catalog", shared_videos() / "jhmdb_avi", "--root", root, "--labels-from-folders", "--json").json
    assert (found["new"], found["failed"], found["distinct_labels"]) == (84, 0, 21)
    assert sora("extract", "--root", root, "--model", model, "--json").json["failed"] == 0
    assert sora.sql(root, "SELECT count(DISTINCT video_id) FROM features") == [(84,)]


def test_a_video_that_changes_after_the_catalog_is_input_changed(tmp_path: Path, model: Path, sora: Sora) -> None:
    corpus, root = tmp_path / "corpus", tmp_path / "root"
    corpus.mkdir()
    sources = sorted((shared_videos() / "jhmdb").glob("*/*.mp4"))[:3]
    for index, source in enumerate(sources):
        (corpus / f"{index}.mp4").write_bytes(source.read_bytes())
    sora("catalog", corpus, "--root", root)
    (corpus / "0.mp4").write_bytes(sources[1].read_bytes())
    (corpus / "1.mp4").unlink()
    assert sora("extract", "--root", root, "--model", model).code == 10
    reasons = sora.sql(root, "SELECT parse_filename(uri), error_class FROM failures ORDER BY uri")
    assert reasons == [("0.mp4", "input_changed"), ("1.mp4", "input_changed")]
    sora("catalog", corpus, "--root", root)
    assert sora("extract", "--root", root, "--model", model, "--json").json["videos"] == 1
    done = sora.sql(root, "SELECT DISTINCT parse_filename(uri) FROM features ORDER BY 1")
    assert done == [("0.mp4",), ("2.mp4",)]
