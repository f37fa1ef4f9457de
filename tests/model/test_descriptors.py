"""A descriptor says which way edges and things go, and where; not how bright the light is, nor how the camera moves."""

import pytest
import torch

from pipeline.model.descriptors import CELLS, CHANNELS, KINDS, describe as describe_in_cells

EDGES, FLOW = 0, 1
RIGHT, DOWN, LEFT, UP = 0, 2, 4, 6  # of 8 directions, 45 degrees apart, clockwise on the screen
TOP_LEFT, BOTTOM_RIGHT = (0, 0), (2, 2)


def _clip(*, start, step, background=None):
    """A soft blob over a background, (1, 3, 8, 48, 48); start and step are (y, x) in px and px a frame."""
    ys, xs = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    frames = []
    for t in range(8):
        y, x = start[0] + t * step[0], start[1] + t * step[1]
        frames.append(torch.exp(-((ys - y) ** 2 + (xs - x) ** 2) / 32))
    blob = torch.stack(frames)
    return (blob - 0.5 if background is None else background + blob * 0.5)[None, None].repeat(1, 3, 1, 1, 1)


def describe(clips):
    """(N, 5 kinds, 8 directions x cells)."""
    (told,) = describe_in_cells(clips, CELLS)
    assert told.shape == (len(clips), CHANNELS, *CELLS)
    return told.reshape(len(clips), KINDS, -1)


def _kind(clip, kind):
    """(8 directions, 2 halves, 3, 3) of one kind."""
    return describe(clip)[0, kind].reshape(8, *CELLS)


@pytest.mark.parametrize(
    ("step", "direction"), [((0, 1), RIGHT), ((1, 0), DOWN), ((0, -1), LEFT), ((-1, 0), UP)], ids=str
)
def test_the_flow_points_where_the_blob_goes(step, direction):
    flow = _kind(_clip(start=(24, 24), step=step), FLOW)
    assert flow.sum(dim=(1, 2, 3)).argmax() == direction


@pytest.mark.parametrize(("start", "place"), [((8, 8), TOP_LEFT), ((40, 40), BOTTOM_RIGHT)], ids=str)
def test_the_flow_is_found_where_the_blob_is(start, place):
    flow = _kind(_clip(start=start, step=(0, 0.5)), FLOW)[RIGHT].sum(dim=0)
    assert divmod(int(flow.argmax()), 3) == place


def test_edges_have_no_sign():
    clip = _clip(start=(24, 24), step=(0, 1))
    torch.testing.assert_close(_kind(-clip, EDGES), _kind(clip, EDGES))


def test_more_light_and_more_contrast_change_nothing_but_rounding():
    clip = _clip(start=(24, 20), step=(0.5, 1)) * 0.5
    told = describe(clip)[0]
    torch.testing.assert_close(describe(clip + 0.2)[0], told, atol=1e-3, rtol=0)
    alike = torch.cosine_similarity(describe(clip * 1.5)[0], told, dim=1)
    assert alike.min() > 0.97


def test_a_still_clip_moves_nowhere():
    flow = _kind(_clip(start=(24, 24), step=(0, 0)), FLOW)
    torch.testing.assert_close(flow, torch.ones_like(flow))


def test_what_the_whole_picture_does_is_the_camera():
    drawn = torch.rand(1, 1, 16, 20, generator=torch.Generator().manual_seed(0))
    texture = torch.nn.functional.interpolate(drawn, (48, 60), mode="bicubic")[0, 0]
    panned = torch.stack([texture[:, t : t + 48] for t in range(8)])
    kept = _kind(panned[None, None].repeat(1, 3, 1, 1, 1), FLOW).sum(dim=(1, 2, 3))
    moved = _kind(_clip(start=(24, 20), step=(0, 1)), FLOW).sum(dim=(1, 2, 3))
    assert kept[LEFT] / kept.sum() < 0.5 * moved[RIGHT] / moved.sum()


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 2, 2), (2, 16, 16), (3, 17, 33), (16, 64, 48)], ids=str)
def test_any_size_gives_numbers_of_mean_square_one(size):
    clip = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    told = describe(clip)
    torch.testing.assert_close(told.square().mean(dim=2), torch.ones(2, KINDS))


def test_no_gradient_goes_through_it():
    assert not describe(torch.rand(1, 3, 4, 16, 16, requires_grad=True)).requires_grad


def test_each_way_to_cut_is_described_by_itself():
    clip = torch.rand(1, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole, places = describe_in_cells(clip, CELLS, (2, 4, 4))
    assert places.shape == (1, CHANNELS, 2, 4, 4)
    assert torch.equal(places, describe_in_cells(clip, (2, 4, 4))[0])
    assert torch.equal(whole, describe_in_cells(clip, CELLS)[0])
