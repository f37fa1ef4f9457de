"""`sora catalog --preview`: every live video gets its preview once, and nothing is lost where one cannot be had."""

from pathlib import Path

import pytest

from pipeline import storage
from pipeline.corpus.previewer import Previewer
from tests.support.shared import shared_videos
from tests.support.sora import Sora
from tests.support.videos import encode_video

COLUMNS = "motion_score, cut_candidates_s, content_digest, perceptual_digest"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two videos, a copy of the first in another container, and a text."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(encode_video(32))
    (folder / "b.mp4").write_bytes(encode_video(40))
    (folder / "copy.mkv").write_bytes(encode_video(32, container="matroska"))
    (folder / "notes.txt").write_text("not a video")
    return folder


def digests(sora: Sora, root: Path) -> dict[str, str | None]:
    query = "SELECT parse_filename(uri), content_digest FROM videos WHERE status = 'ok' ORDER BY 1"
    return dict(sora.sql(root, query))  # type: ignore[arg-type]


@pytest.mark.usefixtures("ray_local")
def test_a_preview_is_made_once_for_each_version_and_stays(tmp_path: Path, corpus: Path, sora: Sora) -> None:
    root = tmp_path / "root"

    def catalog(*options: str) -> tuple[int, int]:
        outcome = sora("catalog", corpus, "--root", root, "--json", *options)
        assert outcome.code == 0, outcome.err
        return outcome.json["previewed"], outcome.json["preview_failed"]

    assert catalog() == (0, 0)
    assert set(digests(sora, root).values()) == {None}
    assert catalog("--preview") == (3, 0), "cataloged before anybody asked for previews"
    stored = sum((corpus / name).stat().st_size for name in ("a.mp4", "b.mp4", "copy.mkv"))
    assert sora.sql(root, "SELECT bytes_read FROM runs WHERE bytes_read IS NOT NULL") == [(stored,)]
    first = digests(sora, root)
    assert first["a.mp4"] == first["copy.mkv"] != first["b.mp4"]
    assert len(sora.sql(root, f"SELECT {COLUMNS} FROM videos WHERE motion_score > 0 AND len(content_digest) = 32")) == 3
    assert catalog("--preview") == (0, 0)
    (corpus / "a.mp4").write_bytes(encode_video(48))
    (corpus / "late.mp4").write_bytes(encode_video(20))
    (corpus / "b.mp4").rename(tmp_path / "b.mp4")
    assert catalog() == (0, 0)
    assert digests(sora, root) == {"a.mp4": None, "copy.mkv": first["copy.mkv"], "late.mp4": None}
    (tmp_path / "b.mp4").rename(corpus / "b.mp4")
    assert catalog("--preview") == (2, 0), "what is back needs none"
    last = digests(sora, root)
    assert last == {**first, "a.mp4": last["a.mp4"], "late.mp4": last["late.mp4"]}
    assert None not in last.values()
    assert last["a.mp4"] != first["a.mp4"]
    assert sora.sql(root, "SELECT content_digest FROM videos WHERE status = 'superseded'") == [(first["a.mp4"],)]
    assert sora.sql(root, "SELECT count(*), count(DISTINCT (video_id, version)) FROM videos") == [(5, 5)]


@pytest.mark.usefixtures("ray_local")
@pytest.mark.shared_videos
def test_a_video_whose_preview_fails_keeps_its_row_and_is_tried_again_on_request(
    tmp_path: Path, corpus: Path, sora: Sora
) -> None:
    """The file has headers and no packets."""
    (corpus / "bad.mp4").write_bytes((shared_videos() / "broken" / "bipbop_nonfragment_header.mp4").read_bytes())
    root = tmp_path / "root"
    outcome = sora("catalog", corpus, "--root", root, "--preview", "--json")
    assert outcome.code == 10, "done, with failures over the threshold"
    assert (outcome.json["new"], outcome.json["failed"]) == (4, 0)
    assert (outcome.json["previewed"], outcome.json["preview_failed"]) == (3, 1)
    row = sora.sql(root, f"SELECT status, codec, {COLUMNS} FROM videos WHERE uri LIKE '%bad.mp4'")
    assert row == [("ok", "h264", None, None, None, None)]
    why = "SELECT stage, error_class, attempts FROM failures WHERE uri LIKE '%bad.mp4' ORDER BY attempts"
    assert sora.sql(root, why) == [("preview", "corrupt", 1)]
    status = sora("status", "--root", root, "--json").json
    assert (status["missing"], status["failed"]) == (4, 0), "it still waits for its vectors"
    again = sora("catalog", corpus, "--root", root, "--preview", "--json")
    assert (again.code, again.json["previewed"], again.json["preview_failed"]) == (0, 0, 0)
    retried = sora("catalog", corpus, "--root", root, "--preview", "--retry-failed", "--json")
    assert (retried.json["previewed"], retried.json["preview_failed"]) == (0, 1)
    assert sora.sql(root, why) == [("preview", "corrupt", 1), ("preview", "corrupt", 2)]


def test_what_changed_since_it_was_cataloged_is_not_previewed(corpus: Path) -> None:
    uri = f"file://{corpus / 'a.mp4'}"
    previewer = Previewer()
    good = previewer.preview({"uri": uri, "version": storage.info(uri).version})
    assert (good["error_class"], good["reason"]) == (None, None)
    assert good["content_digest"] is not None
    for row in ({"uri": uri, "version": "another"}, {"uri": uri + ".gone", "version": "1"}):
        bad = previewer.preview(row)
        assert (bad["error_class"], bad["content_digest"]) == ("input_changed", None)
