"""`sora classify report` over planted roots: labels against predictions, training videos apart."""

from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc
import pytest

from pipeline import storage, tables
from pipeline.tasks.classify import heads
from tests.support.labelled import NOISE, NUM, labelled_videos, run_predict
from tests.support.planted import planted_root
from tests.support.sora import Sora

pytestmark = pytest.mark.usefixtures("no_mlflow")


def test_the_report_tells_videos_of_the_training_from_others(root: str, sora: Sora) -> None:
    run_predict(root)
    told = sora("classify", "report", "--root", root)
    assert told.code == 0
    assert "WAS IN TRAINING" not in told.out
    found = sora("classify", "report", "--root", root, "--json").json
    metrics = heads.load(heads.resolve(root, "main")).description["metrics"]
    assert (found["unseen"]["videos"], found["in_training"]["videos"]) == (12, 36)
    assert found["unseen"]["accuracy"] == found["unseen"]["accuracy_of_known"] == metrics["accuracy"]["mean"]
    assert found["unseen"]["ci95"] == metrics["accuracy"]["ci95"]
    assert found["unseen"]["ece"] == pytest.approx(metrics["ece"], abs=1e-4)
    assert found["in_training"]["accuracy"] > found["unseen"]["accuracy"]
    for name, one in found["unseen"]["per_class"].items():
        assert {key: one[key] for key in ("precision", "recall", "f1", "support")} == metrics["per_class"][name]
    folder = storage.local_path(root) / "heads/main/1/report"
    assert {path.name for path in folder.iterdir()} == {"report.json", "report.txt", "confusion.png"}


def test_a_report_on_training_videos_alone_says_so(root: str, sora: Sora) -> None:
    tables.replace(root, "labels", pc.field("source") == "planted", lambda taken: taken.slice(0, 36))
    run_predict(root)
    told = sora("classify", "report", "--root", root)
    assert "EVERY LABELLED VIDEO WITH PREDICTIONS WAS IN TRAINING" in told.out
    assert sora("classify", "report", "--root", root, "--json").json["unseen"] is None


def test_unknown_videos_and_classes_the_head_never_learned_are_counted(root: str, tmp_path: Path, sora: Sora) -> None:
    new = {uri: replace(video, label="strange") for uri, video in labelled_videos(3, first=NUM, noise=NOISE).items()}
    planted_root(root, new)
    run_predict(root, unknown_below=0.8)
    found = sora("classify", "report", "--root", root, "--output", tmp_path / "out", "--json").json
    counted = sora.sql(root, "SELECT count(*) FROM predictions WHERE level = 'video' AND is_unknown")
    both = (found["unseen"], found["in_training"])
    assert [(sum(one["unknown"] for one in both),)] == counted
    assert all(one["unknown"] == sum(of["unknown"] for of in one["per_class"].values()) for one in both)
    assert 0 < counted[0][0] < NUM + 3
    assert found["classes_unknown_to_the_head"] == ["strange"]
    assert found["unseen"]["per_class"]["strange"]["recall"] == 0.0
    assert found["unseen"]["accuracy_of_known"] > found["unseen"]["accuracy"]
    assert (tmp_path / "out" / "confusion.png").stat().st_size > 1000


def test_a_report_without_predictions_names_the_command(root: str, sora: Sora) -> None:
    tables.create_missing(root)
    refused = sora("classify", "report", "--root", root)
    assert refused.code == 2
    assert "sora classify predict" in refused.err
