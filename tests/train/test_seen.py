"""Which clips of an epoch have been learned from: a flag a clip, through a checkpoint, to the decoders."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.train.batches import streamed_batches
from pipeline.train.config import TrainConfig
from pipeline.train.seen import ClipPlaces, SeenBoard, SeenClips
from tests.train.test_chance import NAMES, SAMPLING, rows

PLACES = ClipPlaces(["a", "b", "c"], [3, 0, 9])


def places(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_every_expected_clip_has_a_place_of_its_own() -> None:
    assert [PLACES.of_clip(video, index) for video, count in (("a", 3), ("c", 9)) for index in range(count)] == list(
        range(PLACES.num_clips)
    )
    assert PLACES.of_clip("a", 3) == PLACES.of_clip("b", 0) == -1, "more than the catalog promised"
    assert PLACES.of_video("b") == slice(3, 3)


def test_no_videos_have_no_places() -> None:
    assert ClipPlaces([], []).num_clips == 0


def flags_of(seen: SeenClips, *videos: str) -> list[list[bool]]:
    board = SeenBoard(PLACES)
    board.put(seen.packed())
    return [flags.tolist() for flags in board.of_videos(videos)]


def test_decoders_are_told_what_was_seen_and_nothing_of_the_epoch_before(tmp_path: Path) -> None:
    seen = SeenClips(PLACES.num_clips, "these")
    seen.add(places(0, 2, -1, 11))
    told = [[True, False, True], [], [False] * 8 + [True]]
    assert flags_of(seen, "a", "b", "c") == told
    seen.save(tmp_path)
    resumed = SeenClips(PLACES.num_clips, "these")
    assert resumed.load(tmp_path)
    assert flags_of(resumed, "a", "b", "c") == told
    resumed.clear()
    assert not any(any(flags) for flags in flags_of(resumed, "a", "b", "c"))


@pytest.mark.parametrize("num_clips", [PLACES.num_clips, PLACES.num_clips + 1, 100, 0])
def test_what_was_seen_of_other_videos_or_from_memory_is_not_taken_over(tmp_path: Path, num_clips: int) -> None:
    there, seen = SeenClips(num_clips, "others"), SeenClips(PLACES.num_clips, "these")
    there.add(np.arange(num_clips))
    there.save(tmp_path)
    seen.add(places(1))
    assert not seen.load(tmp_path)
    assert not any(flags_of(seen, "a")[0])


def _agree(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    seen = SeenClips(PLACES.num_clips, "these")
    seen.add(places(rank, 5 + rank))
    seen.agree(torch.device("cpu"))
    np.save(f"{folder}/{rank}.npy", seen.packed())
    torch.distributed.destroy_process_group()


def test_workers_take_over_what_the_others_have_seen(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_agree, args=(str(tmp_path),), nprocs=2)
    for rank in (0, 1):
        assert np.unpackbits(np.load(tmp_path / f"{rank}.npy")).nonzero()[0].tolist() == [0, 1, 5, 6]


@pytest.mark.parametrize(("num_workers", "sizes"), [(2, {4: 5, 1: 1}), (1, {8: 2, 5: 1})], ids=["all", "one is lost"])
def test_a_streams_batches_name_the_places_of_their_clips_and_are_shared_out(
    num_workers: int, sizes: dict[int, int]
) -> None:
    config, all_places = TrainConfig(batch_size=4, num_workers=2), ClipPlaces(list("abcdefg"), [3, 3, 3, 3, 3, 3, 2])
    batches = list(
        streamed_batches([rows(NAMES)], SAMPLING, config, places=all_places, epoch=0, num_workers=num_workers)
    )
    assert Counter(len(batch.frames) for batch in batches) == sizes
    assert sorted(np.concatenate([batch.places for batch in batches])) == [-1, *range(20)]
