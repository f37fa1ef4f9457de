"""Views show whole windows of their clip, one box for all frames, and leave it alone where nothing is asked."""

import numpy as np
import pytest
import torch

from pipeline.decode.transform import to_model_input
from pipeline.errors import ConfigError
from pipeline.train.chance import Chance, clip_keys
from pipeline.train.config import TrainConfig
from pipeline.train.views import blurred, draw_views, residual_frames


def _numbered(num_clips=4, num_frames=16, size=8):
    """Frame t of every clip is grey level t."""
    levels = torch.arange(num_frames, dtype=torch.uint8).view(1, -1, 1, 1, 1)
    return levels.expand(num_clips, num_frames, size, size, 3).contiguous()


def _views(frames, seed=0, **changes):
    keys = clip_keys(np.arange(len(frames), dtype=np.uint64), seed=seed, epoch=0)
    return draw_views(
        frames, chance=Chance(keys, frames.device), config=TrainConfig(**{"min_crop_area": 1.0, **changes})
    )


def test_where_nothing_is_asked_a_view_is_the_clip():
    frames = torch.randint(0, 256, (3, 5, 6, 6, 3), dtype=torch.uint8)
    views = _views(frames)
    assert torch.equal(views.clean, to_model_input(frames))
    assert views.sources.tolist() == [0, 1, 2]


def test_windows_lie_inside_the_clip_and_say_which_frames_they_show():
    views = _views(_numbered(200, 32), view_frames=8, max_speed=4, instance_weight=1)
    assert views.sources.tolist() == [*range(200), *range(200)]
    steps = views.frame_times.diff(dim=1)
    assert set(steps.flatten().tolist()) == {1.0, 2.0, 4.0}
    assert torch.equal(steps.amin(1), steps.amax(1))
    assert views.frame_times.min() == 0
    assert views.frame_times.max() == 31
    shown = (views.clean.mean(dim=(1, 3, 4)) + 1) * 127.5
    assert torch.allclose(shown, views.frame_times, atol=1e-3)


def test_a_view_longer_than_the_clip_is_the_clip():
    assert _views(_numbered(2, 5), view_frames=9, max_speed=4).frame_times[0].tolist() == [0, 1, 2, 3, 4]


def test_the_same_chance_gives_the_same_views_and_another_gives_others():
    frames = torch.randint(0, 256, (4, 8, 16, 16, 3), dtype=torch.uint8)
    all_on = {"min_crop_area": 0.36, "flip_probability": 0.5, "grey_probability": 0.5, "blur_probability": 0.5}
    all_on |= {"erase_probability": 0.5, "residual_probability": 0.5, "view_frames": 4, "max_speed": 2}
    assert torch.equal(_views(frames, 1, **all_on).clean, _views(frames, 1, **all_on).clean)
    assert not torch.equal(_views(frames, 1, **all_on).clean, _views(frames, 2, **all_on).clean)


def test_a_crop_is_one_box_for_all_frames():
    still = torch.randint(0, 256, (6, 1, 16, 16, 3), dtype=torch.uint8).expand(6, 4, 16, 16, 3)
    clean = _views(still, min_crop_area=0.36, flip_probability=0.5).clean
    assert torch.allclose(clean, clean[:, :, :1].expand_as(clean), atol=1e-6)
    assert not torch.allclose(clean, to_model_input(still))


def test_a_certain_flip_mirrors_and_nothing_else():
    frames = torch.randint(0, 256, (40, 2, 8, 8, 3), dtype=torch.uint8)
    clean, mirrored = to_model_input(frames), to_model_input(frames).flip(-1)
    views = _views(frames, flip_probability=0.5).clean
    is_same = torch.isclose(views, clean, atol=1e-5).flatten(1).all(1)
    is_mirrored = torch.isclose(views, mirrored, atol=1e-5).flatten(1).all(1)
    assert torch.equal(is_same, ~is_mirrored)
    assert 5 < is_mirrored.sum() < 35


def test_erased_boxes_are_middle_grey():
    erased = _views(torch.full((50, 2, 32, 32, 3), 255, dtype=torch.uint8), erase_probability=0.99).clean == 0
    shares = erased[:, 0, 0].float().mean(dim=(1, 2))
    assert 0 < shares.max() <= 0.25
    assert torch.equal(erased[:, :1, :1].expand_as(erased), erased)


def test_residual_frames_of_a_still_clip_are_nothing_and_of_a_ramp_its_slope():
    ramp = torch.linspace(-1, 1, 5).view(1, 1, 5, 1, 1)
    assert torch.allclose(residual_frames(ramp), torch.full_like(ramp, 0.5))
    assert not residual_frames(torch.ones(1, 3, 1, 2, 2)).any()


def test_blur_keeps_a_flat_picture_and_spreads_a_point():
    flat = torch.full((1, 3, 2, 4, 4), 0.5)
    assert torch.allclose(blurred(flat), flat)
    point = torch.zeros(1, 3, 1, 5, 5)
    point[..., 2, 2] = 1
    assert blurred(point)[0, 0, 0, 2, 1:4].tolist() == [0.125, 0.25, 0.125]


@pytest.mark.parametrize("wrong", [{"max_speed": 3}, {"min_crop_area": 0.0}, {"min_crop_area": 1.5}])
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        TrainConfig(**wrong)
