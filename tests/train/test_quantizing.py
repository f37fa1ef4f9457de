"""`sora quantize`: a version of its own, calibrated on some sources and compared on others."""

from pathlib import Path

import pytest
import torch

from pipeline import registry, storage
from pipeline.model.autoencoder import build_model
from pipeline.model.checkpoint import load_checkpoint, save_checkpoint
from pipeline.model.config import sora_xs
from pipeline.model.quantization import is_quantized
from tests.support.sora import Sora
from tests.support.videos import encode_video

SAMPLING = {"frames_per_clip": 8, "sample_fps": 8.0, "stride_s": 2.0, "size_px": 32}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, ray_local: None) -> Path:
    """A cataloged corpus of six videos and one that is broken, and a champion."""
    folder = tmp_path_factory.mktemp("quantize")
    corpus = folder / "corpus"
    corpus.mkdir()
    rows = ["path,label,source_group,split1"]
    for index in range(6):
        (corpus / f"{index}.mp4").write_bytes(encode_video(16 + index))
        rows.append(f"{index}.mp4,a,{index},{'test' if index == 5 else 'train'}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    torch.manual_seed(0)
    save_checkpoint(folder / "model", build_model(sora_xs(), num_classes=0), labels=[], sampling=SAMPLING, metrics={})
    return folder


def test_a_model_becomes_one_of_eight_bits_that_extracts_under_its_own_version(place: Path, sora: Sora) -> None:
    root = storage.normalize(str(place / "root"))
    assert sora("catalog", place / "corpus", "--root", root, "--labels", place / "labels.csv").code == 0
    (place / "corpus" / "0.mp4").write_bytes(b"broken after it was cataloged")
    registry.publish(root, place / "model")
    registry.promote(root, "1")

    made = sora("quantize", "--root", root, "--split-column", "split1", "--json")
    assert made.code == 0, made.err
    assert (made.json["model"], made.json["source"]) == ("2", "1")
    assert made.json["num_calibrated"] + made.json["num_compared"] == 4, "one is broken, one is for testing"
    assert 0.99 < made.json["cosine"] <= 1
    assert registry.resolve(root).version == "1", "the champion stays"
    assert is_quantized(load_checkpoint(registry.fetch(registry.resolve(root, "2"))).model)

    for version in (1, 2):
        assert sora("extract", "--root", root, "--model", version, "--warn-failed-share", 1).code == 0
    cosines = sora.sql(
        root,
        "SELECT min(list_cosine_similarity(a.embedding, b.embedding)), count(*) FROM features a JOIN features b "
        "USING (video_id, clip_index) WHERE a.model_version = '1' AND b.model_version = '2' "
        "AND a.model_digest != b.model_digest",
    )
    assert cosines[0][1] >= 5
    assert cosines[0][0] > 0.99

    again = sora("quantize", "--root", root, "--model", 2)
    assert again.code == 2
    assert "eight bits already" in again.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--clips", 1], "Too few clips"),
        (["--split-column", "split9"], "split column"),
        (["--split-column", "split1", "--group-column", "label_of_nothing", "--model", 7], "leads nowhere"),
    ],
)
def test_what_cannot_be_quantized_is_said(place: Path, sora: Sora, options: list[object], words: str) -> None:
    outcome = sora("quantize", "--root", place / "root", *options)
    assert outcome.code == 2
    assert words in outcome.err
