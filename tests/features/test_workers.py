"""Workers die, and only the video that kills them is lost."""

import os
import time
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.decode import clips
from pipeline.errors import SoraError
from pipeline.features import workers
from pipeline.features.extract import commit_every_s
from pipeline.model.autoencoder import build_model
from pipeline.model.checkpoint import save_checkpoint
from pipeline.model.config import sora_xs
from tests.support.sora import Sora
from tests.support.videos import encode_video

POISON = "0.mp4"  # the first: when its worker dies, a second task sent to that worker would die with it


class FailingEncoder:
    """An encoder whose store is away."""

    def __init__(self, error: Exception):
        self._error = error

    def extract(self, videos: object) -> None:
        raise self._error


class SlowlyDyingTask(workers._ExtractTask):
    """Dies over the poison after it had time to be sent the next task."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        if any(uri.endswith(POISON) for uri in batch["uri"].to_pylist()):
            time.sleep(1)
            os._exit(1)
        return super().__call__(batch)


class AlwaysDyingTask(workers._ExtractTask):
    """Dies over everything, as on a machine without memory."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        os._exit(1)


class FailingTask(workers._ExtractTask):
    """The real one around an encoder that raises."""

    error: Exception = OSError("the store is away")

    def __call__(self, batch: pa.Table) -> pa.Table:
        self._encoder = FailingEncoder(self.error)  # type: ignore[assignment]
        return super().__call__(batch)


class NeedsAPerson(FailingTask):
    """The same with an error of ours."""

    error = SoraError("Nothing can be decoded here.", cure="repair the machine")


@pytest.fixture
def arguments(tmp_path: Path, sora: Sora) -> list[object]:
    """`extract` on a root with three videos nobody has extracted."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for index in range(3):
        (corpus / f"{index}.mp4").write_bytes(encode_video(16 + index))
    sampling = {"frames_per_clip": 8, "sample_fps": 8.0, "stride_s": 2.0, "size_px": 32}
    save_checkpoint(tmp_path / "model", build_model(sora_xs(), num_classes=0), labels=[], sampling=sampling, metrics={})
    assert sora("catalog", corpus, "--root", tmp_path / "root").code == 0
    return ["extract", "--root", tmp_path / "root", "--model", tmp_path / "model", "--json"]


@pytest.fixture
def few_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task is repeated once instead of three times: each death costs the start of a worker."""
    monkeypatch.setattr(clips, "_MAX_TASK_RETRIES", 1)


@pytest.mark.usefixtures("ray_local", "few_retries")
def test_a_video_that_kills_its_worker_costs_no_good_one(
    arguments: list[object], sora: Sora, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_ExtractTask", SlowlyDyingTask)
    outcome = sora(*arguments, "--warn-failed-share", "1", "--num-workers", "1")
    assert (outcome.code, outcome.json["videos"], outcome.json["failed"]) == (0, 3, 1), outcome.err
    assert "Traceback" not in outcome.err
    root = arguments[2]
    failed = sora.sql(root, "SELECT parse_filename(uri), error_class, attempts FROM failures")
    assert failed == [(POISON, "crashed", 1)]
    assert sora.sql(root, "SELECT count(DISTINCT video_id) FROM features") == [(2,)]
    monkeypatch.undo()
    assert sora(*arguments).json["videos"] == 1, "it is due again, and the machine was to blame"
    assert sora.sql(root, "SELECT count(DISTINCT video_id) FROM features") == [(3,)]


@pytest.mark.usefixtures("ray_local", "few_retries")
def test_a_machine_on_which_every_worker_dies_makes_no_video_a_failure(
    arguments: list[object], sora: Sora, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_ExtractTask", AlwaysDyingTask)
    outcome = sora(*arguments)
    assert outcome.code == 30
    assert "No worker survives" in outcome.err
    assert sora.sql(arguments[2], "SELECT * FROM failures") == []


@pytest.mark.usefixtures("ray_local")
@pytest.mark.parametrize(("task", "code"), [(FailingTask, 20), (NeedsAPerson, 30)])
def test_what_is_no_video_s_fault_ends_the_run_and_is_nobody_s_failure(
    task: type, code: int, arguments: list[object], sora: Sora, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_ExtractTask", task)
    outcome = sora(*arguments)
    assert outcome.code == code
    assert str(task.error).splitlines()[0] in outcome.err  # type: ignore[attr-defined]
    assert sora.sql(arguments[2], "SELECT * FROM failures") == []


@pytest.mark.parametrize(("running_s", "window_s"), [(0, 1.0), (50, 1.0), (200, 4.0), (1_500, 30.0), (30_000, 30.0)])
def test_results_wait_for_a_commit_two_percent_of_the_run(running_s: float, window_s: float) -> None:
    assert commit_every_s(running_s) == window_s
