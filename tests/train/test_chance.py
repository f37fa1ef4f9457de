"""What is drawn for a clip is a function of seed, epoch and clip id, on any worker, beside any other clips."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.decode.sampling import SamplingConfig
from pipeline.train.batches import Share, ordered_batches, streamed_batches
from pipeline.train.chance import Chance, clip_keys, splitmix64
from pipeline.train.clip_table import ClipTable
from pipeline.train.config import TrainConfig
from pipeline.train.seen import ClipPlaces
from pipeline.train.step import Shown, show

CPU = torch.device("cpu")
SAMPLING = SamplingConfig(frames_per_clip=8, sample_fps=8.0, stride_s=1.0, size_px=16)
VIEWS = {"min_crop_area": 0.36, "flip_probability": 0.5, "grey_probability": 0.3, "blur_probability": 0.3}
VIEWS |= {"erase_probability": 0.3, "residual_probability": 0.3, "view_frames": 4, "max_speed": 2}
OBJECTIVES = {"one view": {}, "two views": {"instance_weight": 1.0, **VIEWS}}


def rows(names: list[tuple[str, int]], seed: int = 0) -> pa.Table:
    """Clips of noise, which is a function of their names."""
    num_bytes = 8 * 16 * 16 * 3
    frames = [
        np.random.default_rng((seed, ord(v), k)).integers(0, 256, num_bytes, np.uint8).tobytes() for v, k in names
    ]
    columns = {"video_id": [v for v, _ in names], "clip_index": pa.array([k for _, k in names], pa.int32())}
    labels = pa.array([k for _, k in names], pa.int32())
    return pa.table({**columns, "label_index": labels, "frames": pa.array(frames, pa.binary(num_bytes))})


NAMES = [(video, k) for video in "abcdefg" for k in range(3)]


def seen(table: ClipTable, config: TrainConfig, world_size: int, *, epoch: int = 0) -> list[dict[int, tuple]]:
    """For each step, by clip, what the network is shown and is held against, over all workers."""
    steps: list[dict[int, tuple]] = []
    for rank in range(world_size):
        batches = ordered_batches(table, config, epoch=epoch, first_step=0, share=Share(rank, world_size))
        for step, (frames, labels, ids, _) in enumerate(batches):
            chance = Chance(clip_keys(ids, seed=config.seed, epoch=epoch), CPU)
            shown = show(frames, labels, config=config, chance=chance)
            steps += [{} for _ in range(step + 1 - len(steps))]
            steps[step] |= by_clip(shown, ids)
    return steps


def by_clip(shown: Shown, ids: np.ndarray) -> dict[int, tuple]:
    targets = shown.targets
    return {
        int(clip): tuple(part[targets.sources == place] for part in (shown.corrupted, targets.clean, targets.labels))
        for place, clip in enumerate(ids)
    }


@pytest.mark.parametrize("name", OBJECTIVES)
def test_two_workers_see_the_very_clips_that_one_sees(name: str) -> None:
    table = ClipTable([rows(NAMES)], SAMPLING)
    config = TrainConfig(batch_size=4, num_workers=2, **OBJECTIVES[name])  # type: ignore[arg-type]
    alone, shared = seen(table, config, 1), seen(table, config, 2)
    assert [set(step) for step in alone] == [set(step) for step in shared]
    assert sum(len(step) for step in alone) == len(NAMES)
    for one, other in zip(alone, shared, strict=True):
        for clip, parts in one.items():
            assert all(torch.equal(a, b) for a, b in zip(parts, other[clip], strict=True)), clip


def test_other_clips_in_the_corpus_change_nothing() -> None:
    config = TrainConfig(batch_size=64)
    few, many = (seen(ClipTable([rows(names)], SAMPLING), config, 1)[0] for names in (NAMES[3:6], NAMES))
    assert all(torch.equal(few[clip][0], many[clip][0]) for clip in few)


def test_a_stream_and_a_table_agree_on_a_clip() -> None:
    config, table = TrainConfig(batch_size=64), rows(NAMES)
    places = ClipPlaces(list("abcdefg"), [3] * 7)
    (streamed,) = streamed_batches([table], SAMPLING, config, places=places, epoch=0, num_workers=1)
    chance = Chance(clip_keys(streamed.clip_ids, seed=0, epoch=0), CPU)
    found = by_clip(show(streamed.frames, streamed.labels, config=config, chance=chance), streamed.clip_ids)
    (expected,) = seen(ClipTable([table], SAMPLING), config, 1)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[clip][0], expected[clip][0]) for clip in found)


def test_another_epoch_seed_clip_or_view_is_another_draw() -> None:
    ids = np.array([5, 6], np.uint64)
    draws = [Chance(clip_keys(ids, seed=seed, epoch=epoch), CPU).uniform() for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert len(set(torch.cat(draws).tolist())) == 6
    chance = Chance(clip_keys(ids, seed=0, epoch=0), CPU)
    of_views = chance.of_views(2).uniform(3)
    assert of_views.shape == (4, 3)
    assert len({*of_views.flatten().tolist(), *chance.uniform(3).flatten().tolist()}) == 18


def test_the_generator_is_splitmix64() -> None:
    """The first numbers of the reference implementation seeded with 1234567."""
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert splitmix64(np.array([1234567], np.uint64), 0, 4)[0].tolist() == expected
    assert splitmix64(np.array([1234567], np.uint64), 2, 2)[0].tolist() == expected[2:]


def test_draws_are_spread_as_they_should_be() -> None:
    chance = Chance(clip_keys(np.arange(64, dtype=np.uint64), seed=0, epoch=0), CPU)
    uniform, normal = chance.uniform(1000), chance.normal((1000,), torch.float32)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.01)
    assert torch.histc(uniform, 10, 0, 1).div(6400).sub(1).abs().max() < 0.05
    assert (normal.mean().item(), normal.std().item()) == pytest.approx((0, 1), abs=0.02)
    of_clips = torch.corrcoef(torch.cat([uniform, normal]))
    assert (of_clips - torch.eye(128)).abs().max() < 0.2, "no clip follows another"
    assert chance.integers(3).unique().tolist() == [0, 1, 2]
