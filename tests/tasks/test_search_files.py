"""New files and pictures, on real footage through the real sandbox and network."""

import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.decode.moment import Moment
from pipeline.decode.sampling import SamplingConfig
from pipeline.errors import ConfigError, DecodeError
from pipeline.tasks.retrieval.contact_sheet import clock, write_contact_sheet
from pipeline.tasks.retrieval.embed import embed_file
from pipeline.tasks.retrieval.search import Searcher, search
from pipeline.tasks.retrieval.thumbnails import thumbnails
from pipeline.tasks.slices import read_slices
from tests.support.extracted import extracted_root
from tests.support.shared import shared_videos
from tests.support.sora import Sora
from tests.support.videos import encode_video, read_number

NUM_FRAMES = 40
SAMPLING = SamplingConfig(frames_per_clip=8, sample_fps=8.0, stride_s=0.5, size_px=32)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Videos of several sizes and rates, and one of them turned on its side."""
    folder = tmp_path_factory.mktemp("corpus")
    made = {
        "wide.mp4": encode_video(NUM_FRAMES, width=96, height=48),
        "tall.mp4": encode_video(NUM_FRAMES, width=48, height=96, fps=25),
        "turned.mp4": encode_video(NUM_FRAMES, width=96, height=48, rotation_deg=90),
        "long.mp4": encode_video(300, fps=8),
    }
    for name, data in made.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in made]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, corpus: list[Path]) -> str:
    return extracted_root(tmp_path_factory.mktemp("files"), corpus, sampling=SAMPLING)


def assert_the_same_as_the_table(root: str, path: Path) -> None:
    slices = read_slices(root)
    mine = np.array([uri.endswith("/" + path.name) for uri in slices.rows["uri"].to_pylist()])
    embedded = embed_file(root, path)
    np.testing.assert_allclose(embedded.vectors, slices.vectors[mine], atol=1e-5, rtol=0)
    for name in ("start_s", "end_s", "recon_error", "motion"):
        np.testing.assert_allclose(getattr(embedded, name), slices.rows.filter(mine)[name], atol=1e-5)


@pytest.mark.parametrize("name", ["wide.mp4", "tall.mp4", "turned.mp4", "long.mp4"])
def test_a_file_embedded_on_the_fly_equals_its_rows_in_the_table(root: str, corpus: list[Path], name: str) -> None:
    assert_the_same_as_the_table(root, next(path for path in corpus if path.name == name))


@pytest.mark.shared_videos
def test_real_footage_embedded_on_the_fly_equals_its_rows_in_the_table(tmp_path: Path) -> None:
    videos = (
        sorted((shared_videos() / "jhmdb").rglob("*.mp4"))[::250][:3]
        + sorted(shared_videos().glob("falls/**/*.mp4"))[:1]
    )
    assert len(videos) == 4
    root = extracted_root(tmp_path, videos, sampling=SamplingConfig())
    for path in videos:
        assert_the_same_as_the_table(root, path)


def test_a_copy_under_another_name_finds_its_original_first(root: str, corpus: list[Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    shutil.copy(corpus[1], copy)
    hits = search(root, str(copy), k=1).to_pylist()
    assert hits[0]["uri"].endswith("tall.mp4")
    assert hits[0]["similarity"] == pytest.approx(1, abs=1e-5)


def test_of_a_damaged_file_what_decodes_is_searched_and_the_damage_is_said(
    root: str, corpus: list[Path], tmp_path: Path
) -> None:
    cut = tmp_path / "cut.mkv"
    data = bytearray(encode_video(200, container="matroska", fps=8))
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    cut.write_bytes(data)
    found = Searcher(root).search(str(cut))
    assert found.query.note is not None
    assert "partial" in found.query.note or "damaged" in found.query.note
    assert found.hits.num_rows == 10


@pytest.mark.parametrize("content", [b"", b"not a video" * 100])
def test_a_file_that_is_no_video_is_refused_with_its_path(root: str, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.mp4"
    path.write_bytes(content)
    with pytest.raises(DecodeError, match=r"notes\.mp4"):
        embed_file(root, path)
    with pytest.raises(DecodeError, match=r"missing\.mp4"):
        embed_file(root, tmp_path / "missing.mp4")


@pytest.mark.parametrize("time_s", [0.0, 1.0, 7.5])
def test_a_thumbnail_is_the_frame_on_screen_at_its_time(corpus: list[Path], time_s: float) -> None:
    long = str(corpus[3])
    (thumbnail,) = thumbnails([Moment(long, time_s)], width_px=200, height_px=200)
    assert thumbnail.picture is not None
    assert read_number(np.asarray(thumbnail.picture)) == round(time_s * 8)


@pytest.mark.parametrize(("name", "size"), [("wide.mp4", (100, 50)), ("tall.mp4", (30, 60)), ("turned.mp4", (30, 60))])
def test_a_thumbnail_keeps_the_aspect_ratio_and_stands_upright(
    corpus: list[Path], name: str, size: tuple[int, int]
) -> None:
    path = next(path for path in corpus if path.name == name)
    (thumbnail,) = thumbnails([Moment(str(path), 0.5)], width_px=100, height_px=60)
    assert thumbnail.picture is not None
    assert thumbnail.picture.size == size


def test_a_video_that_cannot_be_shown_is_a_grey_tile_with_the_reason(
    tmp_path: Path, corpus: list[Path], sora: Sora
) -> None:
    videos = [Path(shutil.copy(path, tmp_path)) for path in corpus]
    root = extracted_root(tmp_path, videos, sampling=SAMPLING)
    videos[0].unlink()
    videos[2].write_bytes(b"no video any more" * 50)
    for name in ("sheet.png", "sheet.html"):
        options = ["--k", 30, "--max-per-video", 2, "--contact-sheet", tmp_path / name, "--json"]
        outcome = sora("search", videos[1], "--root", root, *options)
        assert outcome.code == 0, outcome.err
    sheet = Image.open(io.BytesIO((tmp_path / "sheet.png").read_bytes()))
    assert sheet.size[0] > 1000
    page = (tmp_path / "sheet.html").read_text()
    assert page.count("the video is not there any more") == 2
    assert page.count("open_failed") == 2
    assert len(re.findall(r'src="data:image/jpeg;base64,', page)) == 3  # the query, and two of the long one
    assert not re.search(r"(src|href)=\"(?!data:)", page), "nothing is fetched"


def test_names_are_text_in_the_page(tmp_path: Path, corpus: list[Path]) -> None:
    video = Path(shutil.copy(corpus[1], tmp_path / "<script>alert(1)<.mp4"))
    root = extracted_root(tmp_path, [video, corpus[0]], sampling=SAMPLING)
    write_contact_sheet(Searcher(root).search(str(corpus[0]), k=2), str(tmp_path / "sheet.html"))
    assert "<script>" not in (tmp_path / "sheet.html").read_text()


def test_a_sheet_of_another_kind_is_refused_before_the_search(root: str, sora: Sora) -> None:
    outcome = sora("search", "nothing", "--root", root, "--contact-sheet", "sheet.gif")
    assert outcome.code == 2
    assert "FILE.png" in outcome.err
    with pytest.raises(ConfigError, match="cannot be written"):
        write_contact_sheet(Searcher(root).search(np.ones(64)), "/proc/sheet.png")


@pytest.mark.parametrize(
    ("time_s", "text"), [(0, "0:00.0"), (59.97, "1:00.0"), (63.4, "1:03.4"), (3723.4, "1:02:03.4")]
)
def test_times_are_read_as_on_a_clock(time_s: float, text: str) -> None:
    assert clock(time_s) == text
