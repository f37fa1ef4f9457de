"""Who works on a cluster, and several videos at a time in one worker."""

import threading
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import tables
from pipeline.features import pending, workers
from pipeline.features.crew import Crew, Machines, crew, machines
from pipeline.model.autoencoder import build_model
from pipeline.model.checkpoint import save_checkpoint
from pipeline.model.config import sora_xs
from tests.support.sora import Sora
from tests.support.videos import encode_video

NUM_VIDEOS = 6
SAMPLING = {"frames_per_clip": 8, "sample_fps": 8.0, "stride_s": 1.0, "size_px": 32}


@pytest.mark.parametrize(
    ("found", "asked", "expected"),
    [
        (Machines(2, 0), (None, None), Crew(2, 1, 1, 0)),
        (Machines(64, 0), (None, None), Crew(64, 1, 1, 0)),
        (Machines(64, 0), (8, None), Crew(8, 1, 1, 0)),
        (Machines(64, 0), (8, 3), Crew(8, 3, 1, 0)),
        (Machines(16, 1, 16), (None, None), Crew(1, 16, 16, 1)),
        (Machines(96, 8, 12), (None, None), Crew(8, 12, 12, 1)),
        (Machines(96, 8, 12), (2, 4), Crew(2, 4, 12, 1)),
        (Machines(2, 4, 0), (None, None), Crew(4, 1, 1, 1)),
    ],
)
def test_the_crew_follows_from_the_cluster_and_what_was_asked(
    found: Machines, asked: tuple[int | None, int | None], expected: Crew
) -> None:
    assert crew(found, num_workers=asked[0], num_decoders=asked[1]) == expected


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([{"CPU": 2.0}], Machines(2)),
        ([{"CPU": 16.0, "GPU": 1.0}], Machines(16, 1, 16)),
        ([{"CPU": 8.0, "GPU": 1.0}, {"CPU": 64.0}], Machines(72, 1, 8)),
        ([{"CPU": 8.0, "GPU": 1.0}, {"CPU": 96.0, "GPU": 4.0}], Machines(104, 5, 8)),
        ([{"GPU": 1.0}, {"memory": 1.0}], Machines(1, 1, 0)),
    ],
)
def test_a_worker_never_wants_more_cpus_than_a_node_with_its_gpu_has(
    nodes: list[dict[str, float]], expected: Machines
) -> None:
    assert machines(nodes) == expected


class MeetingTask(workers._ExtractTask):
    """Goes on only once another task of the same worker is under way."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._both_are_here = threading.Barrier(2)

    def __call__(self, batch: pa.Table) -> pa.Table:
        self._both_are_here.wait(timeout=60)
        return super().__call__(batch)


@pytest.mark.usefixtures("ray_local")
def test_a_worker_that_decodes_two_videos_at_a_time_gives_the_same_vectors(
    tmp_path: Path, sora: Sora, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, model = tmp_path / "corpus", tmp_path / "model"
    corpus.mkdir()
    for index in range(NUM_VIDEOS):
        (corpus / f"{index}.mp4").write_bytes(encode_video(20 + 7 * index))
    save_checkpoint(model, build_model(sora_xs(), num_classes=0), labels=[], sampling=SAMPLING, metrics={})
    monkeypatch.setattr(pending, "_VIDEOS_A_TASK", 1)  # a task a video
    rows = {}
    for name, task, options in (
        ("one", workers._ExtractTask, []),
        ("two", MeetingTask, ["--num-workers", 1, "--num-decoders", 2]),
    ):
        root = tmp_path / name
        assert sora("catalog", corpus, "--root", root).code == 0
        monkeypatch.setattr(workers, "_ExtractTask", task)
        extracted = sora("extract", "--root", root, "--model", model, *options)
        assert extracted.code == 0, extracted.err
        read = tables.read(f"file://{root}", "features", ["uri", "clip_index", "embedding"])
        rows[name] = {(row["uri"], row["clip_index"]): row["embedding"] for row in read.to_pylist()}
    assert rows["one"].keys() == rows["two"].keys()
    for key, vector in rows["one"].items():
        assert rows["two"][key] == pytest.approx(vector, rel=1e-4, abs=1e-5)


def test_less_than_one_decoder_is_refused(tmp_path: Path, sora: Sora) -> None:
    refused = sora("extract", "--root", tmp_path, "--num-decoders", 0)
    assert refused.code == 2
    assert "--num-decoders" in refused.err
