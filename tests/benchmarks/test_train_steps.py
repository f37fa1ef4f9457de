"""The benchmark of training chooses without the test side, and needs neither Ray nor Arrow."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from benchmarks.train_steps import __main__ as command
from benchmarks.train_steps.clips import read_packed
from benchmarks.train_steps.held_out import to_choose_on
from pipeline.errors import ConfigError
from tests.support.shared import PROJECT_ROOT

NUM_TRAIN, NUM_TEST = 24, 8
QUICK = ["epochs=1", "batch_size=12", "precision=fp32"]
MEASURED = ("linear_probe", "knn", "retrieval", "psnr_z", "effective_rank", "last")


def packed(file: Path, *, test_seed: int) -> Path:
    """Two classes, 8 sources in training and 4 in test; test clips are noise of their own seed."""
    labels = torch.arange(NUM_TRAIN + NUM_TEST) % 2
    frames = torch.randint(0, 100, (len(labels), 8, 16, 16, 3), generator=torch.Generator().manual_seed(0))
    frames[:NUM_TRAIN] += 100 * labels[:NUM_TRAIN].view(-1, 1, 1, 1, 1)
    noise = torch.Generator().manual_seed(test_seed)
    frames[NUM_TRAIN:] = torch.randint(200, 256, (NUM_TEST, 8, 16, 16, 3), generator=noise)
    groups = torch.cat([torch.arange(NUM_TRAIN) // 3, 100 + torch.arange(NUM_TEST) // 2])
    split = (torch.arange(len(labels)) < NUM_TRAIN).to(torch.uint8)
    tensors = {"frames": frames.to(torch.uint8), "labels": labels, "groups": groups, "split1": split}
    save_file(tensors, file, metadata={"labels": json.dumps(["dark", "bright"])})
    return file


def test_the_side_to_choose_on_has_no_test_clip_and_shares_no_source(tmp_path: Path) -> None:
    clips = read_packed(packed(tmp_path / "clips", test_seed=1))
    chosen = to_choose_on(clips, "split1", group_column="source_group", seed=0)
    is_train = chosen.is_train("split1")
    assert len(chosen.frames) == len(chosen.labels) == len(chosen.groups) == len(is_train) == NUM_TRAIN
    assert int(chosen.frames.max()) < 200, "test clips are brighter than that"
    assert set(chosen.groups[is_train]).isdisjoint(chosen.groups[~is_train])
    assert 0 < (~is_train).sum() <= NUM_TRAIN / 2
    again = to_choose_on(clips, "split1", group_column="source_group", seed=0)
    assert np.array_equal(again.is_train("split1"), is_train)


def test_another_column_than_the_clips_have_is_refused(tmp_path: Path) -> None:
    clips = read_packed(packed(tmp_path / "clips", test_seed=1))
    with pytest.raises(ConfigError, match="--validate"):
        to_choose_on(clips, "split1", group_column="camera", seed=0)


def told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object) -> dict:
    monkeypatch.setattr(sys, "argv", ["benchmarks.train_steps", *map(str, words)])
    command.main()
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_what_is_chosen_by_does_not_depend_on_test_clips_and_the_final_figures_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [packed(tmp_path / str(seed), test_seed=seed) for seed in (1, 2)]
    choosing, final = (
        [told(capsys, monkeypatch, "--clips", file, *flags, "--set", *QUICK) for file in files]
        for flags in ([], ["--final"])
    )
    assert [run["judged_on"] for run in choosing] == ["sources of source_group held out of train"] * 2
    for name in MEASURED:
        assert choosing[0][name] == choosing[1][name], name
    assert [run["judged_on"] for run in final] == ["test"] * 2
    assert final[0]["psnr_z"] != final[1]["psnr_z"]


def test_training_from_packed_clips_needs_neither_ray_nor_arrow() -> None:
    absent = ["ray", "pyarrow", "pandas", "av", "mlflow", "deltalake", "fsspec", "tyro"]
    code = f"import sys; sys.modules.update(dict.fromkeys({absent})); import benchmarks.train_steps.__main__"
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, check=True)
