"""`sora tune` on a rendered corpus: trials share the clips, held-out videos are in no side, the best trains."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from jobs import shell
from pipeline import storage
from pipeline.corpus.synthetic import render_corpus
from pipeline.train.config import TrainConfig
from pipeline.train.job import TrainJob
from tests.support.sora import Sora

pytestmark = pytest.mark.usefixtures("ray_local")
SAMPLING = ["--frames-per-clip", 4, "--sample-fps", 8, "--stride-s", 1, "--size-px", 16]


@pytest.fixture
def root(tmp_path: Path, sora: Sora) -> Path:
    labels = render_corpus(tmp_path / "corpus", num_clips=24, duration_s=(1.0, 1.1))
    assert sora("catalog", tmp_path / "corpus", "--root", tmp_path / "root", "--labels", labels).code == 0
    return tmp_path / "root"


def test_the_best_of_two_trials_is_what_train_takes(root: Path, sora: Sora) -> None:
    words = [
        "--root",
        root,
        "--split-column",
        "split1",
        "--group-column",
        "-",
        "--validation-fraction",
        0.34,
        *SAMPLING,
    ]
    outcome = sora("tune", *words, "--trials", 2, "--max-epochs", 2, "--precision", "fp32", "--json")
    assert outcome.code == 0, outcome.err
    found = outcome.json
    assert {trial["trial"] for trial in found["trials"]} == {0, 1}
    assert next(trial for trial in found["trials"] if trial["trial"] == 0)["setting"] == {}
    best = found["trials"][0]
    assert best["epochs"] == 2
    assert set(best["scores"]) == {"1", "2"}
    assert all(trial["score"] >= 0 for trial in found["trials"])
    written = json.loads(storage.read_bytes(found["options"].replace("best.yaml", "trials.json")))
    assert written["trials"] == found["trials"]
    counts = dict(sora.sql(root, "SELECT counts FROM runs WHERE job = 'tune'")[0][0])
    held_out = "SELECT count(*) FROM labels WHERE attributes['split1'] = 'test'"
    assert counts["held_out_videos"] == sora.sql(root, held_out)[0][0] > 0
    assert counts["train_videos"] + counts["validation_videos"] == 24 - counts["held_out_videos"]
    assert counts["trials"] == 2

    arguments = shell._with_yaml(["--root", str(root), "--options", found["options"], "--epochs", "5"])
    job, _ = shell._parse("train", "", TrainJob, arguments)
    expected = replace(TrainConfig(**best["setting"]), validation_fraction=0.34, precision="fp32", epochs=5)
    assert job.train == expected, "the command line wins over the file"
    assert (job.split_column, job.group_column, job.sampling.size_px) == ("split1", "-", 16)


def test_a_search_without_a_source_to_spare_starts_nothing(tmp_path: Path, root: Path, sora: Sora) -> None:
    outcome = sora("tune", "--root", root, "--validation-fraction", 0)
    assert outcome.code == 2
    assert "--validation-fraction" in outcome.err
