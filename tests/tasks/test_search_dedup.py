"""Which videos are taken for copies, and why."""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from pipeline import storage, tables
from pipeline.errors import ConfigError
from pipeline.tasks.retrieval.dedup import GROUPS, near_duplicates
from tests.support.planted import Planted, planted_root
from tests.support.sora import Sora

RNG = np.random.default_rng(0)
LOOK, OTHER_LOOK = "00ff00ff00ff00ff", "ff00ff00ff00ff00"


def vectors(number: int = 4, dim: int = 16) -> np.ndarray:
    return RNG.normal(size=(number, dim))


def nearly(like: np.ndarray, noise: float = 0.01) -> np.ndarray:
    return like + noise * RNG.normal(size=like.shape)


def groups(root: str, **options: object) -> list[tuple[set[str], set[str]]]:
    """Of each group, its videos and the reasons of any of them."""
    found = near_duplicates(root, **options)  # type: ignore[arg-type]
    assert found.schema == GROUPS
    together: dict[int, tuple[set[str], set[str]]] = {}
    for row in found.to_pylist():
        uris, reasons = together.setdefault(row["group"], (set(), set()))
        uris.add(row["uri"])
        reasons.update(row["reasons"])
    return list(together.values())


def test_slices_alike_in_order_make_a_group_and_other_orders_or_lengths_do_not(tmp_path: Path) -> None:
    first = vectors()
    root = planted_root(
        str(tmp_path / "root"),
        {
            "a.mp4": Planted(first),
            "copy.mp4": Planted(3 * nearly(first)),  # lengths do not count
            "cut.mp4": Planted(nearly(first)[:3]),  # a slice less
            "half.mp4": Planted(nearly(first)[:2]),
            "reversed.mp4": Planted(nearly(first)[::-1]),
            "other_end.mp4": Planted(np.concatenate([nearly(first)[:3], vectors(1)])),
            "strange.mp4": Planted(vectors()),
        },
    )
    assert groups(root) == [({"a.mp4", "copy.mp4", "cut.mp4", "half.mp4", "other_end.mp4"}, {"vectors"})]


def test_a_group_is_what_hangs_together_and_a_threshold_takes_it_apart(tmp_path: Path) -> None:
    first = vectors(2)
    root = planted_root(str(tmp_path / "root"), {"a": Planted(first), "b": Planted(nearly(first, 0.05))})
    assert groups(root, threshold=0.9) == [({"a", "b"}, {"vectors"})]
    assert groups(root, threshold=1.0) == []
    assert groups(root, where="uri = 'a'") == []


def test_digests_find_copies_with_and_without_vectors(tmp_path: Path) -> None:
    def digests(content: str | None, look: str | None) -> dict[str, str | None]:
        return {"content_digest": content, "perceptual_digest": look}

    videos = {
        "a": Planted(vectors(), columns=digests("1" * 32, LOOK)),
        "b": Planted(vectors(), columns=digests("1" * 32, OTHER_LOOK)),
        "c": Planted(vectors(), columns=digests("2" * 32, LOOK[:-2] + "00")),  # 8 bits
        "d": Planted(vectors(), columns=digests("3" * 32, LOOK[:-4] + "f0ff")),  # 4 bits of a, 12 of c
        "black": Planted(vectors(), columns=digests("4" * 32, "0" * 16)),
        "dark": Planted(vectors(), columns=digests("5" * 32, "0" * 16)),
        "unseen": Planted(vectors(), columns=digests(None, None)),
        "unseen too": Planted(vectors(), columns=digests(None, None)),
    }
    root = planted_root(str(tmp_path / "root"), videos)
    assert groups(root) == [({"a", "b", "c", "d"}, {"content", "perceptual"})]
    bits = {row["uri"]: row["different_bits"] for row in near_duplicates(root).to_pylist()}
    assert bits == {"a": 4, "b": None, "c": 8, "d": 4}
    storage.delete(storage.join(root, "models", "champion.json"))
    tables.replace(root, "features", pc.field("clip_index") >= 0, lambda rows: rows.slice(0, 0))
    assert groups(root) == [({"a", "b", "c", "d"}, {"content", "perceptual"})]


def test_the_command_names_the_groups_and_their_reasons(tmp_path: Path, sora: Sora) -> None:
    first = vectors()
    root = planted_root(str(tmp_path / "root"), {"a": Planted(first), "b": Planted(first), "c": Planted(vectors())})
    outcome = sora("dedup", "--root", root, "--json")
    assert outcome.code == 0, outcome.err
    assert (outcome.json["num_groups"], outcome.json["num_videos"]) == (1, 2)
    assert [row["uri"] for row in outcome.json["groups"][0]] == ["a", "b"]
    assert "slices alike to 1.0000" in sora("dedup", "--root", root).out
    assert "no two" in sora("dedup", "--root", root, "--where", "uri = 'c'").out


@pytest.mark.parametrize("threshold", [0.0, 1.1, -1.0])
def test_a_threshold_out_of_range_is_refused(tmp_path: Path, threshold: float) -> None:
    with pytest.raises(ConfigError, match="--threshold"):
        near_duplicates(str(tmp_path), threshold=threshold)
