"""`sora classify train` over planted roots: the figures, the head, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline import storage, tracking_spool
from pipeline.errors import ConfigError, TableError
from pipeline.evaluate.judge import judge
from pipeline.tasks.classify import heads
from pipeline.tasks.classify.config import TrainConfig
from pipeline.tasks.classify.training import plan_training
from tests.support.labelled import NUM, labelled_root, set_foreign
from tests.support.planted import Planted, planted_root
from tests.support.sora import Sora

pytestmark = pytest.mark.usefixtures("no_mlflow")


def test_on_a_split_the_head_has_the_figures_of_the_linear_probe_to_the_digit(root: str) -> None:
    plan = plan_training(TrainConfig(root, split_column="split1"))
    judged = judge(lambda is_train, seed: plan.vectors, plan.rows, num_seeds=1)
    accuracy = heads.load(heads.resolve(root, "main")).description["metrics"]["accuracy"]
    assert {name: accuracy[name] for name in ("mean", "sd", "ci95")} == judged.linear_probe
    assert 0.4 < accuracy["mean"] < 1.0, "a task on which heads can differ"


def test_training_writes_a_head_once_and_tells_mlflow(root: str, sora: Sora) -> None:
    first = heads.load(heads.resolve(root, "main"))
    again = sora("classify", "train", "--root", root, "--split-column", "split1", "--json")
    assert again.code == 0, again.err
    assert (again.json["head"], again.json["version"]) == ("main", "1")
    assert heads.load(heads.resolve(root, "main")).description == first.description
    assert len(first.trained_videos) == 36 == again.json["num_videos"]
    there = {path.name for path in storage.local_path(again.json["uri"]).iterdir()}
    assert there == {"claim", "head.json", "head.safetensors", "confusion.png", "report.txt"}

    validated = sora("classify", "train", "--root", root, "--kind", "mlp", "--folds", 2, "--json")
    found = validated.json
    assert (found["version"], found["kind"], found["num_videos"], found["num_sources"]) == ("2", "mlp", NUM, NUM / 6)
    assert len(found["metrics"]["accuracy"]["folds"]) == 2
    assert found["metrics"]["num_tested"] == NUM
    low, high = found["metrics"]["accuracy"]["ci95"]
    assert low <= found["metrics"]["accuracy"]["mean"] <= high

    entries = [json.loads(storage.read_bytes(uri)) for uri in tracking_spool.waiting(root)]
    told = [entry["fields"] for entry in entries if entry["run"]["name"] == "classify-main-2"]
    metrics = next(fields["values"] for fields in told if "accuracy.mean" in fields.get("values", {}))
    assert metrics["accuracy.mean"] == found["metrics"]["accuracy"]["mean"]
    files = next(fields["files"] for fields in told if "files" in fields)
    assert {"head/head.safetensors", "head/head.json", "head/confusion.png"} <= set(files)
    counts = sora.sql(root, "SELECT job, counts['classes'] FROM runs WHERE job = 'classify train' ORDER BY started_at")
    assert [dict([row])["classify train"] for row in counts] == [3, 3, 3]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--split-column", "split9"], "split1"),
        (["--name", "../x"], "--name"),
        (["--folds", 1], "--folds"),
        (["--seed", -1], "--seed"),
        (["--model", 9], "leads nowhere"),
        (["--kind", "forest"], "--kind"),
    ],
)
def test_what_cannot_be_trained_is_refused(trained: str, options: list[object], expected: str, sora: Sora) -> None:
    refused = sora("classify", "train", "--root", trained, *options)
    assert refused.code == 2
    assert expected in refused.err


def test_a_root_without_labels_or_with_mixed_vectors_is_refused(tmp_path: Path) -> None:
    bare = planted_root(str(tmp_path / "bare"), {"a.mp4": Planted(np.zeros((1, 4)))})
    with pytest.raises(ConfigError, match="No video of the root has a label"):
        plan_training(TrainConfig(bare))
    mixed = labelled_root(tmp_path)
    set_foreign(mixed, "model_digest")
    with pytest.raises(TableError, match="not all its own"):
        plan_training(TrainConfig(mixed))


def test_a_group_column_that_no_label_has_is_said(trained: str) -> None:
    assert plan_training(TrainConfig(trained)).remarks == []
    (remark,) = plan_training(TrainConfig(trained, group_column="camera")).remarks
    assert "camera" in remark


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["--help"], 0), (["guess"], 2)])
def test_the_command_names_its_subcommands(arguments: list[str], code: int, sora: Sora) -> None:
    outcome = sora("classify", *arguments)
    assert outcome.code == code
    assert "train,predict,report" in outcome.out + outcome.err
