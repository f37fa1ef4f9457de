"""What a page shows of a model: curves by pairs, clips beside what a real network makes of them."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline import registry, storage, tables
from pipeline.decode.sampling import SamplingConfig
from pipeline.model.autoencoder import build_model
from pipeline.model.checkpoint import save_checkpoint
from pipeline.model.config import sora_xs
from pipeline.report.page.modelling import curve_charts, model_part
from pipeline.report.page.rebuilt import chosen_rows
from pipeline.tasks.slices import COLUMNS, Slices
from tests.support.videos import encode_video


def rows(videos: list[str], errors: list[float | None], uri: str = "") -> pa.Table:
    count = len(videos)
    values = {name: [0] * count for name in ("clip_index",)} | {"start_s": [0.0] * count, "end_s": [1.0] * count}
    texts = {"clip_id": [""] * count, "uri": [uri] * count, "version": [""] * count, "video_id": videos}
    floats = {"recon_error": pa.array(errors, pa.float32()), "motion": pa.nulls(count, pa.float32())}
    return pa.table({**values, **texts, **floats}).select(list(COLUMNS))


def test_training_and_validation_share_a_chart_and_the_loss_comes_first() -> None:
    points = [(1, 2.0), (2, 1.0)]
    names = ["epoch", "learning_rate", "train_loss", "validation_accuracy", "validation_loss", "epoch_s"]
    charts = curve_charts(dict.fromkeys(names, points) | {"validation_clips": points, "train_once": points[:1]})
    assert [(chart.title, list(chart.keys)) for chart in charts] == [
        ("Loss", ["train", "validation"]),
        ("Accuracy", ["validation"]),
        ("Learning rate", ["learning_rate"]),
        ("Epoch, s", ["epoch_s"]),
    ]
    assert charts[0].rows == [(1, "2", "2"), (2, "1", "1")]
    assert "http" not in charts[0].svg


def test_the_least_middle_and_greatest_errors_are_rebuilt_one_clip_a_video() -> None:
    errors = [float(value) for value in np.random.default_rng(0).permutation(300)]
    table = rows([f"{index // 3}" for index in range(300)], errors)
    chosen = chosen_rows(table)
    assert len({table["video_id"][row].as_py() for row in chosen}) == len(chosen) == 6
    found = sorted(errors[row] for row in chosen)
    assert found[0] == 0
    assert found[-1] == 299
    assert 140 < found[2] < found[3] < 170


@pytest.mark.parametrize("errors", [[], [None, None]])
def test_where_no_clip_has_an_error_none_is_chosen(errors: list[None]) -> None:
    assert chosen_rows(rows(["a"] * len(errors), errors)) == []


def test_a_real_network_rebuilds_what_can_be_read_and_says_what_cannot(tmp_path: Path) -> None:
    (tmp_path / "video.mp4").write_bytes(encode_video(32))
    save_checkpoint(
        tmp_path / "model",
        build_model(sora_xs(), num_classes=0),
        labels=(),
        sampling=asdict(SamplingConfig()),
        metrics={},
    )
    root = storage.normalize(str(tmp_path / "root"))
    tables.create_missing(root)
    model = registry.publish(root, tmp_path / "model")
    uris = [f"file://{tmp_path}/video.mp4", f"file://{tmp_path}/gone.mp4"]
    table = pa.concat_tables([rows(["a"], [0.1], uris[0]), rows(["b"], [0.2], uris[1])])
    part = model_part(root, model, Slices(model, table, np.zeros((2, 4), np.float32)))
    there, gone = part.pairs
    assert there.original.startswith("data:image/webp;base64,")
    assert there.reconstruction != there.original
    assert there.psnr_db is not None
    assert 0 < there.psnr_db < 60
    assert (gone.original, bool(gone.reason)) == ("", True)
    assert part.curves_source == "MLflow never heard of the training"
    assert "sora evaluate" in part.evaluated.reason
