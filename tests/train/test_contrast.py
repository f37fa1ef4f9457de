"""Each contrast is the number one computes by hand, small where views agree, and blind to what it leaves out."""

import math

import pytest
import torch

from pipeline.model.autoencoder import build_model
from pipeline.model.config import sora_xs
from pipeline.train.config import TrainConfig
from pipeline.train.contrast import (
    covariance,
    global_local_contrast,
    info_nce,
    instance_contrast,
    local_contrast,
    supervised_contrast,
    variance,
)
from pipeline.train.objective import Targets, objective

T = 0.5


def test_info_nce_by_hand():
    similarity = torch.tensor([[1.0, 0.0, 0.5]])
    positives = torch.tensor([[True, False, False]])
    expected = -math.log(math.exp(2) / (math.exp(2) + math.exp(0) + math.exp(1)))
    everything = torch.ones_like(positives)
    assert info_nce(similarity, positives, everything, temperature=T).item() == pytest.approx(expected)


@pytest.mark.parametrize("positives", [[False, False], [True, True]])
def test_an_anchor_without_positives_or_without_negatives_has_no_say(positives):
    similarity = torch.tensor([[0.3, 0.1]], requires_grad=True)
    loss = info_nce(similarity, torch.tensor([positives]), torch.ones(1, 2, dtype=torch.bool), temperature=T)
    loss.backward()
    assert loss.item() == 0
    assert not similarity.grad.any()


def test_instances_that_agree_cost_less_than_those_that_do_not():
    views, sources = torch.eye(4), torch.arange(4).repeat(2)
    agree = instance_contrast(torch.cat([views, views]), sources, temperature=T)
    crossed = instance_contrast(torch.cat([views, views.roll(1, 0)]), sources, temperature=T)
    assert agree.item() == pytest.approx(-math.log(math.exp(2) / (math.exp(2) + 6)))
    assert crossed > agree + 1


def test_supervised_contrast_ignores_what_has_no_label():
    torch.manual_seed(0)
    vectors, labels = torch.randn(6, 5), torch.tensor([0, 0, 1, 1, -1, -1])
    whole = supervised_contrast(vectors, labels, temperature=T)
    assert torch.isclose(whole, supervised_contrast(vectors[:4], labels[:4], temperature=T))
    assert supervised_contrast(vectors, torch.full((6,), -1), temperature=T) == 0


def _moments(order):
    return torch.eye(4)[order][None]


def test_local_contrast_wants_the_same_moment_at_the_same_time():
    times = torch.tensor([[1.5, 5.5, 9.5, 13.5]]).repeat(2, 1)
    same = local_contrast(torch.cat([_moments([0, 1, 2, 3]), _moments([0, 1, 2, 3])]), times, temperature=T)
    turned = local_contrast(torch.cat([_moments([0, 1, 2, 3]), _moments([3, 2, 1, 0])]), times, temperature=T)
    assert turned > same + 1


def test_local_contrast_of_views_that_share_no_moment_is_nothing():
    times = torch.tensor([[1.5, 5.5], [21.5, 25.5]])
    assert local_contrast(torch.randn(2, 2, 3), times, temperature=T) == 0


def test_global_local_contrast_wants_moments_inside_the_span_alone():
    times = torch.tensor([[1.5, 3.5, 5.5, 7.5], [1.5, 9.5, 17.5, 25.5]])
    near, far = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    inside = torch.stack([torch.stack([near] * 4), torch.stack([near, far, far, far])])
    outside = torch.stack([torch.stack([near] * 4), torch.stack([far, near, near, near])])
    good, bad = (global_local_contrast(steps, times, temperature=T) for steps in (inside, outside))
    assert bad > good + 0.5


def test_variance_and_covariance_by_hand():
    spread = torch.tensor([[2.0, 0.0], [-2.0, 0.0]])
    assert variance(spread).item() == pytest.approx(0.5 * (1 - 0.01), abs=1e-4)
    assert covariance(spread) == 0
    tied = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    assert covariance(tied).item() == pytest.approx(2 * 2.0**2 / 2)


def test_every_weighted_term_is_in_the_sum_and_reaches_the_network():
    torch.manual_seed(0)
    model, clean = build_model(sora_xs(), num_classes=2), torch.rand(4, 3, 8, 16, 16) * 2 - 1
    weights = {"instance_weight": 1.0, "local_weight": 2.0, "global_local_weight": 3.0, "variance_weight": 4.0}
    weights |= {"covariance_weight": 5.0, "supervised_contrast_weight": 6.0}
    times = torch.stack([torch.arange(8.0), torch.arange(8.0), torch.arange(8.0) * 2, torch.arange(8.0) * 2])
    targets = Targets(clean, torch.tensor([0, 1, 0, 1]), torch.tensor([0, 1, 0, 1]), times)
    config = TrainConfig(**weights)
    loss, terms = objective(model(clean), targets, config)
    assert set(terms) == {name.removesuffix("_weight") for name in weights} | {
        "reconstruction",
        "haar",
        "classification",
        "descriptor",
    }
    assert loss.item() == pytest.approx(
        sum(getattr(config, f"{n}_weight") * t.item() for n, t in terms.items()), rel=1e-5
    )
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
