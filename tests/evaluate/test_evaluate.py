"""`sora evaluate`, `compare` and `promote` on real Ray, over a rendered corpus."""

import json
from pathlib import Path

import pytest
import torch

from jobs import cli
from pipeline import registry, storage, tables
from pipeline.corpus.synthetic import render_corpus
from pipeline.model.autoencoder import build_model
from pipeline.model.checkpoint import save_checkpoint
from pipeline.model.config import sora_xs
from tests.support.sora import Sora

pytestmark = pytest.mark.usefixtures("ray_local")
NUM_CLIPS = 24  # four source groups, one of them for testing
SAMPLING = {"frames_per_clip": 8, "sample_fps": 8.0, "stride_s": 1.0, "size_px": 32}
FIGURES = {"linear_probe", "knn", "retrieval", "psnr_z", "ssim_z", "psnr_e", "effective_rank"}


def publish(root: str, folder: Path, seed: int) -> str:
    torch.manual_seed(seed)
    save_checkpoint(folder, build_model(sora_xs(), num_classes=0), labels=[], sampling=SAMPLING, metrics={})
    return registry.publish(root, folder).version


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, ray_local: None) -> Path:
    """A cataloged corpus, and in `root` the vectors of model 1, the champion."""
    folder = tmp_path_factory.mktemp("evaluate")
    root = storage.normalize(str(folder / "root"))
    labels = render_corpus(folder / "corpus", num_clips=NUM_CLIPS, duration_s=(1.0, 1.2))
    assert cli.main(["catalog", str(labels.parent), "--root", root, "--labels", str(labels)]) == 0
    assert publish(root, folder / "model", 0) == "1"
    registry.promote(root, "1")
    assert cli.main(["extract", "--root", root]) == 0
    return folder


def test_a_model_is_judged_compared_and_promoted(place: Path, sora: Sora) -> None:
    root = storage.normalize(str(place / "root"))
    publish(root, place / "other", 7)
    refused = sora("evaluate", "--root", root, "--model", 2)
    assert refused.code == 2
    assert "sora extract" in refused.err
    assert sora("extract", "--root", root, "--model", 2).code == 0

    judged = sora("evaluate", "--root", root, "--seeds", 2, "--control", "reconstruction_only=2", "--json")
    assert judged.code == 0, judged.err
    found = judged.json
    assert set(found) == {"model", "split", "seeds", "controls", *FIGURES}
    assert (found["model"], found["split"], found["seeds"]) == ("1", ["split1"], 2)
    assert set(found["controls"]) == {
        "random_init",
        "pca64",
        "pca64_diff",
        "pca64_descriptor",
        "reconstruction_only",
        "r3d18",
    }
    assert found["controls"]["r3d18"] is None
    assert all(set(one) == FIGURES for one in found["controls"].values() if one is not None)
    low, high = found["linear_probe"]["ci95"]
    assert 0 <= low <= found["linear_probe"]["mean"] <= high <= 1
    assert 0 < found["psnr_z"] < 60
    assert 0 < found["psnr_e"] < 60
    folder = place / "root/evaluations/1"
    assert {path.name for path in folder.iterdir()} == {
        "evaluation.json",
        "evaluation.md",
        "confusion.json",
        "confusion.png",
        "map.png",
    }
    assert json.loads((folder / "evaluation.json").read_text()) == found
    run = next(row for row in tables.read(root, "runs").to_pylist() if row["job"] == "evaluate")
    assert dict(run["counts"])["videos"] == NUM_CLIPS
    assert run["mlflow_run_id"]

    refused = sora("promote", 2, "--root", root)
    assert refused.code == 2
    assert "sora evaluate" in refused.err
    assert registry.resolve(root).version == "1"
    assert sora("evaluate", "--root", root, "--model", 2, "--seeds", 1).code == 0
    single = json.loads((place / "root/evaluations/2/evaluation.json").read_text())["linear_probe"]
    head = sora("classify", "train", "--root", root, "--model", 2, "--split-column", "split1", "--json")
    assert head.code == 0, head.err
    accuracy = head.json["metrics"]["accuracy"]
    assert {name: accuracy[name] for name in single} == single, "the same split and seed, another accuracy"
    compared = sora("compare", "champion", 2, "--root", root, "--json")
    assert compared.code == 0, compared.err
    assert (compared.json["model_a"], compared.json["model_b"]) == ("1", "2")

    worse = {**found, "model": "2", "linear_probe": {"mean": low - 0.01, "sd": 0.0, "ci95": [0.0, 0.0]}}
    kept = place / "root/evaluations/2/evaluation.json"
    kept.write_text(json.dumps(worse))
    refused = sora("promote", 2, "--root", root)
    assert refused.code == 2
    assert "worse than the champion" in refused.err
    assert registry.resolve(root).version == "1"
    kept.write_text(json.dumps({**worse, "linear_probe": found["linear_probe"]}))
    promoted = sora("promote", 2, "--root", root, "--json")
    assert promoted.json == {"champion": "2", "before": "1"}
    assert registry.resolve(root).version == "2"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--split-columns", "split9"], "split1"),
        (["--seeds", 0], "--seeds"),
        (["--max-clips", 0], "--max-clips"),
        (["--control", "3"], "NAME=VERSION"),
        (["--control", "pca64=3"], "taken"),
        (["--control", "r3d18=9"], "sora extract"),
    ],
)
def test_what_cannot_be_judged_is_refused(place: Path, options: list[object], expected: str, sora: Sora) -> None:
    refused = sora("evaluate", "--root", place / "root", *options)
    assert refused.code == 2
    assert expected in refused.err
