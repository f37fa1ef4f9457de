"""A worker, a driver or a machine that is lost within an epoch changes no loss; an error of ours is not tried twice."""

import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.faults.cluster import fault_cluster
from jobs import cli
from pipeline.errors import SoraError
from pipeline.model.checkpoint import load_checkpoint
from pipeline.train import trainer
from tests.support.shared import PROJECT_ROOT
from tests.support.sora import Sora

pytestmark = pytest.mark.usefixtures("ray_local")
SAMPLING = ["--frames-per-clip", 8, "--sample-fps", 8, "--stride-s", 0.5, "--size-px", 32]
TRAINING = ["--epochs", 2, "--num-workers", 2, "--batch-size", 2, "--group-column", "-", *SAMPLING]
TRAINING += ["--precision", "fp32"]  # what a stopwatch decides may differ from run to run
TOLERANCE = 1e-6


def watched_loop(loop: Any, *, step: int, notes: str, action: str, driver: int = 0) -> None:
    """The training loop, whose second worker meets its fate once at a step, and that saves after every step."""
    from pipeline.train import loop as module

    real, num_calls = module.take_step, 0
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
            if action.startswith("kill"):
                until_noted(Path(loop.root.removeprefix("file://")), arguments[0].step)
            if action == "kill" and len(Path(notes).read_text().split()) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            if action == "kill driver":
                os.kill(driver, signal.SIGKILL)
                time.sleep(600)  # Ray ends what is left of a dead driver
            if action == "raise":
                raise SoraError("training diverged: a test says so")
        return real(*arguments, **options)

    module.take_step, module.SAVE_EVERY_S = fatal, 0.0
    module.train_loop(loop)


def until_noted(root: Path, step: int) -> None:
    """Wait until Ray has noted the checkpoint of this run after so many steps: it asks its workers once a second."""
    for _ in range(600):
        for snapshot in root.rglob("checkpoint_manager_snapshot.json"):
            noted = snapshot.read_text()
            for state in snapshot.parent.glob("checkpoint_*/state.json"):
                if state.parent.name in noted and json.loads(state.read_text())["step"] == step:
                    return
        time.sleep(0.1)
    raise AssertionError(f"no checkpoint of step {step} was noted within a minute")


def losses_below(folder: Path) -> dict[int, float]:
    rows = [
        json.loads(line)
        for path in folder.rglob("losses/epoch-*.jsonl")
        for line in path.read_text().split("\n")
        if line
    ]
    assert len({row["step"] for row in rows}) == len(rows)
    return {row["step"]: row["loss"] for row in rows}


def cataloged(root: Path, rendered: Path, sora: Sora) -> Path:
    assert sora("catalog", rendered, "--root", root, "--labels", rendered / "labels.csv").code == 0
    return root


def published(root: Path) -> dict[str, Any]:
    return load_checkpoint(root / "models" / "1").model.state_dict()


def require_equal_runs(root: Path, other: Path, *, tolerance: float = TOLERANCE) -> None:
    """The same losses at the same steps, and the same published weights, averaged ones."""
    assert losses_below(root) == pytest.approx(losses_below(other), abs=tolerance)
    torch.testing.assert_close(published(root), published(other), atol=tolerance, rtol=0)


def require_a_resume_within_the_epoch(notes: Path, num_steps: int) -> None:
    assert len(set(notes.read_text().split())) >= 1, "it was killed"
    pids = Path(f"{notes}.calls").read_text().split()
    assert len(set(pids)) == 2, "and went on in another process"
    again = len(pids) - num_steps
    assert 1 <= again <= 2, f"{again} of {num_steps} steps were done again"  # that of the kill, and one before at most


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, rendered: Path, ray_local: None) -> Path:
    """The root of a run that nothing disturbed."""
    root = tmp_path_factory.mktemp("whole")
    assert cli.main(["catalog", str(rendered), "--root", str(root), "--labels", str(rendered / "labels.csv")]) == 0
    assert cli.main([str(word) for word in ("train", "--root", root, *TRAINING)]) == 0
    return root


def test_a_killed_worker_changes_no_loss_and_no_averaged_weight(
    tmp_path: Path, rendered: Path, whole: Path, sora: Sora, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, notes = cataloged(tmp_path / "killed", rendered, sora), tmp_path / "pids"
    fate = functools.partial(watched_loop, step=3, notes=str(notes), action="kill")
    monkeypatch.setattr(trainer, "train_loop", fate)
    outcome = sora("train", "--root", root, "--json", *TRAINING)
    assert outcome.code == 0, outcome.err
    require_equal_runs(root, whole)
    require_a_resume_within_the_epoch(notes, len(losses_below(whole)))


def noted_step(take: Any, notes: Path, standing: Any, model: Any, batch: Any, **options: Any) -> Any:
    """A step, and a line of what was learned from in it."""
    epoch = standing.epoch
    numbers = take(standing, model, batch, **options)
    with notes.open("a") as file:
        file.write(json.dumps({"epoch": epoch, "clips": batch.clip_ids.tolist()}) + "\n")
    return numbers


KILLED_DRIVER = """
import functools, os, sys
from jobs import cli, shell
shell.prepare()
from pipeline.train import trainer
from tests.train.test_survival import watched_loop
fate = {"step": 3, "notes": sys.argv[1], "action": "kill driver", "driver": os.getpid()}
trainer.train_loop = functools.partial(watched_loop, **fate)
cli.main(sys.argv[2:])
"""


def killed_driver(root: Path, notes: Path) -> "subprocess.CompletedProcess[str]":
    """A training whose second worker kills the driver at its third step, clips in memory."""
    return subprocess.run(
        [sys.executable, "-c", KILLED_DRIVER, str(notes), *map(str, ["train", "--root", root, *TRAINING])],
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_a_killed_driver_changes_no_loss_and_no_averaged_weight(
    tmp_path: Path, rendered: Path, whole: Path, sora: Sora, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, notes = cataloged(tmp_path / "killed", rendered, sora), tmp_path / "pids"
    killed = killed_driver(root, notes)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert losses_below(root) == {}, "the first epoch was not over"
    only_watched = functools.partial(watched_loop, step=0, notes=str(notes), action="none")
    monkeypatch.setattr(trainer, "train_loop", only_watched)
    outcome = sora("train", "--root", root, *TRAINING)
    assert outcome.code == 0, outcome.err
    require_equal_runs(root, whole)
    require_a_resume_within_the_epoch(notes, len(losses_below(whole)))


def loop_on_changing_machines(loop: Any, *, notes: str) -> None:
    """The training loop: the machine that is not the head ends; the worker that is left goes on, then waits for more.

    Args:
        loop: What the loop is given.
        notes: An empty folder, for what has happened: `lost`, then `alone`.
    """
    from pipeline.train import loop as module

    real, num_calls, noted = module.take_step, 0, Path(notes)
    num_workers = module.ray.train.get_context().get_world_size()
    raylet = os.getppid()
    is_head = "--head" in Path(f"/proc/{raylet}/cmdline").read_text()

    def fatal(standing: Any, model: Any, batch: Any, **options: Any) -> Any:
        nonlocal num_calls
        num_calls += 1
        if num_calls == 3 and not is_head and not (noted / "lost").exists():
            until_noted(Path(loop.root.removeprefix("file://")), standing.step)
            (noted / "lost").touch()
            os.kill(raylet, signal.SIGKILL)
            time.sleep(600)  # a worker ends with its raylet
        if num_calls == 7 and num_workers == 1:
            until_noted(Path(loop.root.removeprefix("file://")), standing.step)
            (noted / "alone").touch()
            time.sleep(600)  # Ray ends it, where it can have more workers
        return noted_step(real, noted / "steps", standing, model, batch, **options)

    module.take_step, module.SAVE_EVERY_S = fatal, 0.0
    module.train_loop(loop)


CHANGING_MACHINES = """
import functools, sys
from dataclasses import replace
from jobs import cli, shell
shell.prepare()
from benchmarks.train_input.run import nothing_kept
from pipeline.train import trainer
from tests.train.test_survival import loop_on_changing_machines
notes, mode, *words = sys.argv[1:]
trainer.train_loop = functools.partial(loop_on_changing_machines, notes=notes)
if mode == "streamed":
    # As on machines with a GPU each, which are not here: one worker on each, and CPUs beside it that it cannot take.
    share, scaling = functools.partial(nothing_kept, trainer.share), trainer._scaling
    trainer.share = lambda **given: share(**{**given, "least_workers": given["num_workers"]})
    trainer._scaling = lambda *given: replace(scaling(*given), resources_per_worker={"CPU": 1.6})
sys.exit(cli.main(words))
"""


def trained_on_changing_machines(root: Path, notes: Path, mode: str, *, num_cpus: int) -> None:
    """Two workers, then one, then two again, on as many machines of so many CPUs."""
    notes.mkdir()
    words = ["train", "--root", root, *TRAINING, "--min-workers", 1]
    with fault_cluster(num_nodes=2, num_cpus=num_cpus) as cluster, (notes / "told").open("w") as told:
        training = subprocess.Popen(
            [sys.executable, "-c", CHANGING_MACHINES, str(notes), mode, *map(str, words)],
            env={**os.environ, **cluster.env, "PYTHONPATH": str(PROJECT_ROOT)},
            stdout=told,
            stderr=subprocess.STDOUT,
        )
        try:
            while training.poll() is None and not (notes / "alone").exists():
                time.sleep(0.2)
            cluster.mend()
            training.wait(timeout=400)
        finally:
            training.kill()
            training.wait()
    words_told = (notes / "told").read_text()
    assert training.returncode == 0, words_told
    assert re.findall(r"(\d) of 2 workers", words_told) == ["2", "1", "2"], words_told


@pytest.mark.timeout(600)  # Ray starts three times; a silent machine is not dead at once, nor a new one seen at once
def test_a_run_goes_on_with_fewer_workers_and_with_more_and_no_loss_changes(
    tmp_path: Path, rendered: Path, whole: Path, sora: Sora
) -> None:
    root = cataloged(tmp_path / "elastic", rendered, sora)
    trained_on_changing_machines(root, tmp_path / "notes", "cached", num_cpus=1)
    require_equal_runs(root, whole, tolerance=1e-5)  # one worker adds in another order than two


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
