"""A training worker that is killed within an epoch changes no loss; an error of ours is not tried twice."""

import functools
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.corpus.synthetic import render_corpus
from pipeline.errors import SoraError
from pipeline.model.checkpoint import load_checkpoint
from pipeline.train import trainer
from tests.support.sora import Sora

pytestmark = pytest.mark.usefixtures("ray_local")
SAMPLING = ["--frames-per-clip", 8, "--sample-fps", 8, "--stride-s", 0.5, "--size-px", 32]
TRAINING = ["--epochs", 2, "--num-workers", 2, "--batch-size", 2, "--group-column", "-", *SAMPLING]
TOLERANCE = 1e-6


def watched_loop(loop: Any, *, step: int, notes: str, action: str) -> None:
    """The training loop, whose second worker meets its fate once at a step, and that saves after every step."""
    from pipeline.train import loop as module

    real, num_calls = module.train_step, 0
    rank = module.ray.train.get_context().get_world_rank()

    def fatal(*arguments: Any, **options: Any) -> Any:
        nonlocal num_calls
        num_calls += 1
        if rank == 1:
            with open(f"{notes}.calls", "a") as file:
                file.write(f"{os.getpid()}\n")
        if rank == 1 and num_calls == step:
            with open(notes, "a") as file:
                file.write(f"{os.getpid()}\n")
            if action == "kill" and len(Path(notes).read_text().split()) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            if action == "raise":
                raise SoraError("training diverged: a test says so")
        return real(*arguments, **options)

    module.train_step, module.SAVE_EVERY_S = fatal, 0.0
    module.train_loop(loop)


def losses_below(folder: Path) -> dict[int, float]:
    rows = [
        json.loads(line)
        for path in folder.rglob("losses/epoch-*.jsonl")
        for line in path.read_text().split("\n")
        if line
    ]
    assert len({row["step"] for row in rows}) == len(rows)
    return {row["step"]: row["loss"] for row in rows}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_corpus(tmp_path_factory.mktemp("rendered"), num_clips=12, duration_s=(1.0, 1.2)).parent


def cataloged(root: Path, rendered: Path, sora: Sora) -> Path:
    assert sora("catalog", rendered, "--root", root, "--labels", rendered / "labels.csv").code == 0
    return root


def published(root: Path) -> dict[str, Any]:
    return load_checkpoint(root / "models" / "1").model.state_dict()


def test_a_killed_worker_changes_no_loss_and_no_averaged_weight(
    tmp_path: Path, rendered: Path, sora: Sora, monkeypatch: pytest.MonkeyPatch
) -> None:
    curves, weights = [], []
    for name in ("whole", "killed"):
        root = cataloged(tmp_path / name, rendered, sora)
        if name == "killed":
            fate = functools.partial(watched_loop, step=3, notes=str(tmp_path / "pids"), action="kill")
            monkeypatch.setattr(trainer, "train_loop", fate)
        outcome = sora("train", "--root", root, "--json", *TRAINING)
        assert outcome.code == 0, outcome.err
        curves.append(losses_below(root))
        weights.append(published(root))
    assert len(set((tmp_path / "pids").read_text().split())) == 2, "killed once, and started again"
    assert curves[0].keys() == curves[1].keys()
    pids = (tmp_path / "pids.calls").read_text().split()
    again = len(pids) - len(curves[0])  # the run goes on within the epoch: the killed step and one before at most
    assert 1 <= again <= 2, f"{again} of {len(curves[0])} steps were done again"
    assert curves[1] == pytest.approx(curves[0], abs=TOLERANCE)
    torch.testing.assert_close(weights[1], weights[0], atol=TOLERANCE, rtol=0)


def test_an_error_of_ours_ends_the_run_and_is_not_tried_again(
    tmp_path: Path, rendered: Path, sora: Sora, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = cataloged(tmp_path / "root", rendered, sora)
    fate = functools.partial(watched_loop, step=2, notes=str(tmp_path / "pids"), action="raise")
    monkeypatch.setattr(trainer, "train_loop", fate)
    outcome = sora("train", "--root", root, *TRAINING)
    assert outcome.code == SoraError.exit_code
    assert "a test says so" in outcome.err
    assert len((tmp_path / "pids").read_text().split()) == 1
