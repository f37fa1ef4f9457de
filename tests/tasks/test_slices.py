"""Which vectors a use sees."""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from pipeline import tables
from pipeline.errors import ConfigError, TableError
from pipeline.tasks.slices import read_slices
from tests.support.planted import Planted, planted_root

RNG = np.random.default_rng(0)
SHORT, LONG = RNG.normal(size=(1, 4)), RNG.normal(size=(3, 4))


@pytest.fixture
def root(tmp_path: Path) -> str:
    videos = {"a.mp4": Planted(SHORT, columns={"width": 320}), "b.mp4": Planted(LONG, columns={"width": 640})}
    return planted_root(str(tmp_path / "root"), videos)


def test_slices_come_in_the_order_of_video_and_time_with_the_vectors_of_the_table(root: str) -> None:
    slices = read_slices(root)
    pairs = list(zip(slices.rows["video_id"].to_pylist(), slices.rows["clip_index"].to_pylist(), strict=True))
    assert pairs == sorted(pairs)
    assert len(pairs) == 4
    expected = {"a.mp4": SHORT, "b.mp4": LONG}
    for row, vector in zip(slices.rows.to_pylist(), slices.vectors, strict=True):
        np.testing.assert_array_equal(vector, expected[row["uri"]][row["clip_index"]].astype(np.float32))


def test_a_condition_over_the_catalog_chooses_videos(root: str) -> None:
    assert set(read_slices(root, where="width > 400 -- wide").rows["uri"].to_pylist()) == {"b.mp4"}


@pytest.mark.parametrize(
    ("where", "got"),
    [
        ("width > 9999", "No video meets"),
        ("height_of_wave > 1", "height_of_wave"),
        ("true) UNION SELECT * FROM read_csv('/etc/passwd') --", "cannot be used"),
        ("video_id IN (SELECT content FROM read_text('/etc/passwd'))", "cannot be used"),
    ],
)
def test_a_condition_that_chooses_nothing_or_is_none_is_refused(root: str, where: str, got: str) -> None:
    with pytest.raises(ConfigError, match=got):
        read_slices(root, where=where)


def test_versions_of_videos_that_are_gone_are_left_out(root: str) -> None:
    is_long = pc.field("uri") == "b.mp4"
    tables.replace(root, "videos", is_long, lambda taken: taken.slice(0, 0))
    assert set(read_slices(root).rows["uri"].to_pylist()) == {"a.mp4"}
    tables.replace(root, "videos", pc.field("uri") == "a.mp4", lambda taken: taken.slice(0, 0))
    with pytest.raises(TableError, match="no vector of this model"):
        read_slices(root)


def test_vectors_of_two_lengths_under_one_model_are_refused(root: str) -> None:
    planted_root(root, {"c.mp4": Planted(RNG.normal(size=(1, 5)))})
    with pytest.raises(TableError, match=r"\[4, 5\]"):
        read_slices(root)
