"""The synthetic corpus is what its labels say, and the same for a seed."""

import csv
import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.corpus.synthetic import GROUPS, plan_clips, render_corpus
from pipeline.corpus.synthetic_scene import HEIGHT_PX, MOTIONS, WIDTH_PX, Motion, Scene, render_frames
from pipeline.errors import ConfigError

NUM_CLIPS = 12


def decode(file: Path) -> NDArray[np.uint8]:
    """Every frame, uint8 (T, H, W, C) RGB."""
    with av.open(str(file)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def read_labels(file: Path) -> list[dict[str, str]]:
    with file.open() as source:
        return list(csv.DictReader(source))


def digests(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "corpus"
    render_corpus(folder, num_clips=NUM_CLIPS, seed=3, duration_s=(0.4, 0.8))
    return folder


def test_every_file_is_decodable_labelled_by_its_folder_and_no_file_is_unlabelled(corpus: Path) -> None:
    rows = read_labels(corpus / "labels.csv")
    assert list(rows[0]) == ["path", "label", "source_group", "split1"]
    assert sorted(row["path"] for row in rows) == sorted(str(f.relative_to(corpus)) for f in corpus.rglob("*.mp4"))
    for row in rows:
        frames = decode(corpus / row["path"])
        assert frames.shape[1:] == (HEIGHT_PX, WIDTH_PX, 3)
        assert 10 <= len(frames) <= 20, "0.4 to 0.8 s at 25 frames a second"
        assert Path(row["path"]).parent.name == row["label"]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_pixels(corpus: Path, tmp_path: Path) -> None:
    render_corpus(tmp_path / "same", num_clips=NUM_CLIPS, seed=3, duration_s=(0.4, 0.8))
    render_corpus(tmp_path / "other", num_clips=NUM_CLIPS, seed=4, duration_s=(0.4, 0.8))
    videos = {path: digest for path, digest in digests(corpus).items() if path.endswith(".mp4")}
    assert digests(tmp_path / "same") == digests(corpus)
    assert not set(videos.values()) & set(digests(tmp_path / "other").values())


def test_a_complete_corpus_is_not_rendered_again(corpus: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in corpus.rglob("*")}
    render_corpus(corpus, num_clips=NUM_CLIPS, seed=3, duration_s=(0.4, 0.8))
    assert {file: file.stat().st_mtime_ns for file in corpus.rglob("*")} == before


@pytest.mark.parametrize("lost", ["corpus.json", "labels.csv", "rotate/bricks-warm-005.mp4"])
def test_a_corpus_that_lost_a_file_is_whole_again_or_refused(tmp_path: Path, lost: str) -> None:
    arguments: dict[str, Any] = {"num_clips": NUM_CLIPS, "seed": 3, "duration_s": (0.2, 0.2)}
    labels = render_corpus(tmp_path / "corpus", **arguments)
    complete = digests(labels.parent)
    (labels.parent / lost).unlink()
    if lost == "corpus.json":  # nothing says any more that these files may be replaced
        with pytest.raises(ConfigError, match="holds other files"):
            render_corpus(tmp_path / "corpus", **arguments)
    else:
        render_corpus(tmp_path / "corpus", **arguments)
        assert digests(labels.parent) == complete
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"], "something half-rendered was left behind"


def test_other_parameters_replace_the_corpus_and_leave_nothing_of_the_old(tmp_path: Path) -> None:
    render_corpus(tmp_path / "corpus", num_clips=14, seed=0, duration_s=(0.2, 0.2))
    labels = render_corpus(tmp_path / "corpus", num_clips=12, seed=0, duration_s=(0.2, 0.2))
    assert len(list(labels.parent.rglob("*.mp4"))) == len(read_labels(labels)) == 12


def test_files_of_the_user_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "holiday.mp4").write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"holiday\.mp4"):
        render_corpus(tmp_path, num_clips=NUM_CLIPS)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.mp4"]


def test_the_default_corpus_is_balanced_and_no_source_group_is_in_both_splits() -> None:
    clips = plan_clips(num_clips=48, seed=0, duration_s=(2.0, 3.0))
    assert Counter(clip.motion for clip in clips) == dict.fromkeys(MOTIONS, 8)
    assert Counter(clip.source_group for clip in clips) == {"-".join(group): 6 for group in GROUPS}
    assert Counter((clip.motion, clip.split1) for clip in clips) == {
        (m, s): n for m in MOTIONS for s, n in [("train", 6), ("test", 2)]
    }
    assert all(50 <= clip.num_frames <= 75 for clip in clips)
    assert len({clip.path for clip in clips}) == 48
    splits = {
        clip.source_group: {other.split1 for other in clips if other.group_index == clip.group_index} for clip in clips
    }
    assert all(len(split) == 1 for split in splits.values())


@pytest.mark.parametrize(
    ("motion", "expected"),
    [
        ("left_to_right", (0, 15)),
        ("right_to_left", (0, -15)),
        ("top_to_bottom", (15, 0)),
        ("bottom_to_top", (-15, 0)),
        ("rotate", (0, 0)),
    ],
)
def test_the_patch_moves_as_its_label_says(motion: Motion, expected: tuple[int, int]) -> None:
    y, x = np.subtract(centre_px(motion, 6), centre_px(motion, 0))
    assert (y, x) == pytest.approx(expected, abs=0.5), "2.5 pixels a frame, for 6 frames"


def test_an_expanding_patch_grows_and_a_rotating_one_keeps_its_area() -> None:
    motions: tuple[Motion, ...] = ("expand", "rotate")
    growth = {motion: bright_pixels(motion, 6).sum() / bright_pixels(motion, 0).sum() for motion in motions}
    assert growth["expand"] == pytest.approx(((20 + 6 * 0.8) / 20) ** 2, rel=0.03)
    assert growth["rotate"] == pytest.approx(1, rel=0.03)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"num_clips": 11}, "num_clips"),
        ({"num_clips": 12, "duration_s": (2.0, 1.0)}, "duration_s"),
        ({"num_clips": 12, "duration_s": (0.0, 1.0)}, "duration_s"),
    ],
)
def test_arguments_out_of_range_are_named_and_nothing_is_written(
    tmp_path: Path, arguments: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        render_corpus(tmp_path / "corpus", **arguments)
    assert list(tmp_path.iterdir()) == []


def bright_pixels(motion: Motion, frame_index: int) -> NDArray[np.bool_]:
    """Where the patch is, (H, W): a white one on black, in the middle of the frame at the start."""
    black = np.zeros((256, 256, 3), dtype=np.float32)
    scene = Scene(
        motion=motion,
        background=black,
        patch=black + 255,
        drift_px=(0.0, 0.0),
        centre=(0.5, 0.5),
        radius_px=20.0,
        angle_rad=0.0,
        speed=1.0,
        noise_seed=0,
    )
    return list(render_frames(scene, frame_index + 1))[frame_index][..., 0] > 127


def centre_px(motion: Motion, frame_index: int) -> tuple[float, float]:
    rows, columns = np.nonzero(bright_pixels(motion, frame_index))
    return float(rows.mean()), float(columns.mean())
