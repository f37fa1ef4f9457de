"""`sora plan` on real Ray: it measures, writes no vector, and the extraction after it says how far off it was."""

from pathlib import Path

import pytest

from pipeline import tables
from pipeline.model.autoencoder import build_model
from pipeline.model.checkpoint import save_checkpoint
from pipeline.model.config import sora_xs
from tests.support.sora import Sora
from tests.support.videos import encode_video

pytestmark = pytest.mark.usefixtures("ray_local")
NUM_VIDEOS = 6
SAMPLING = {"frames_per_clip": 8, "sample_fps": 8.0, "stride_s": 1.0, "size_px": 32}


@pytest.fixture
def arguments(tmp_path: Path, sora: Sora) -> list[object]:
    """The options of a root with six good videos and one cut short, and a model."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for index in range(NUM_VIDEOS):
        (corpus / f"{index}.mp4").write_bytes(encode_video(50 + index))
    save_checkpoint(tmp_path / "model", build_model(sora_xs(), num_classes=0), labels=[], sampling=SAMPLING, metrics={})
    assert sora("catalog", corpus, "--root", tmp_path / "root").code == 0
    return ["--root", tmp_path / "root", "--model", tmp_path / "model", "--json"]


def test_a_plan_knows_the_clips_writes_no_vector_and_is_judged_by_the_run(
    arguments: list[object], tmp_path: Path, sora: Sora
) -> None:
    planned = sora("plan", *arguments, "--sample-videos", 4, "--sample-seconds", 1)
    assert planned.code == 0, planned.err
    plan = planned.json
    assert (plan["videos"], plan["num_sampled"], plan["failed_share"]) == (NUM_VIDEOS, 4, 0.0)
    assert plan["bottleneck"] in ("store", "decode", "encode")
    assert sum(plan["shares"].values()) == pytest.approx(1.0)
    assert plan["wall_s"] > plan["start_up_s"]
    root = f"file://{tmp_path / 'root'}"
    assert tables.read(root, "features").num_rows == 0
    assert not list((tmp_path / "root/tables/features").rglob("*.parquet")), "not even a file nobody names"

    extracted = sora("extract", *arguments).json
    assert extracted["clips"] == plan["clips"]
    assert extracted["planned_wall_s"] == pytest.approx(plan["wall_s"])
    assert extracted["wall_s"] > 0

    assert sora("plan", *arguments).json == {"videos": 0, "wall_s": 0.0}, "nothing is left to plan"


def test_a_plan_of_another_extraction_is_not_compared(arguments: list[object], sora: Sora) -> None:
    assert sora("plan", *arguments, "--engine", "torch").code == 0
    assert sora("extract", *arguments).json["planned_wall_s"] is None


def test_broken_videos_are_forecast(arguments: list[object], tmp_path: Path, sora: Sora) -> None:
    whole = encode_video(50)
    for index in range(NUM_VIDEOS):
        broken = bytearray(whole)
        start, end = broken.index(b"mdat") + 4, broken.index(b"moov") - 4
        broken[start:end] = bytes(end - start)
        (tmp_path / f"corpus/broken-{index}.mp4").write_bytes(broken)
    sora("catalog", tmp_path / "corpus", "--root", tmp_path / "root")
    videos = tables.read(f"file://{tmp_path / 'root'}", "videos", ["status"])["status"].to_pylist()
    assert videos.count("ok") == 2 * NUM_VIDEOS, "the damage is not in the headers"
    plan = sora("plan", *arguments)
    assert plan.json["failed_share"] == 0.5
    assert plan.code == 10


@pytest.mark.parametrize("option", ["--sample-videos", "--sample-seconds", "--core-hour-price", "--gpu-hour-price"])
def test_numbers_out_of_range_are_named(option: str, tmp_path: Path, sora: Sora) -> None:
    refused = sora("plan", "--root", tmp_path, option, -1)
    assert refused.code == 2
    assert option in refused.err
