"""Each term is the number one computes by hand; what has no label has no say."""

import pytest
import torch

from pipeline.model.autoencoder import Output
from pipeline.model.descriptors import CELLS, CHANNELS, describe
from pipeline.train.config import TrainConfig
from pipeline.train.objective import Targets, classification, descriptor, haar_l1, objective, reconstruction_l1

PLACES = (1, 1, 1)


def _output(clean, logits):
    reconstruction = (clean + 0.5).requires_grad_()
    embedding = torch.ones(len(clean), 4, requires_grad=True)
    nothing = torch.zeros(len(clean), 1, 1, 1, 1)
    projected = torch.zeros(len(clean), 8)
    described = (torch.zeros(len(clean), CHANNELS, *CELLS), torch.zeros(len(clean), CHANNELS, *PLACES))
    return Output(reconstruction, nothing, embedding, logits, projected, projected[:, None], *described)


def _targets(clean, labels):
    return Targets(clean, labels, torch.arange(len(clean)), torch.zeros(clean.shape[0], clean.shape[2]))


def test_reconstruction_is_the_mean_absolute_difference():
    assert reconstruction_l1(torch.full((1, 3, 2, 2, 2), 0.75), torch.zeros(1, 3, 2, 2, 2)) == 0.75


def test_haar_of_a_constant_difference_is_one_band_of_eight():
    difference = torch.full((1, 3, 4, 4, 4), 0.5)
    assert haar_l1(difference, torch.zeros_like(difference)) == 1.0 / 8


def test_haar_weighs_a_flicker_as_much_as_a_shift_of_brightness():
    flicker = torch.full((1, 3, 2, 4, 4), 0.5)
    flicker[:, :, 1] *= -1
    assert haar_l1(flicker, torch.zeros_like(flicker)) == 1.0 / 8


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 5, 7), (16, 33, 64)])
def test_every_term_takes_odd_sizes(size):
    clean = torch.zeros(2, 3, *size)
    total, _ = objective(_output(clean, None), _targets(clean, torch.tensor([-1, -1])), TrainConfig())
    told_of_nothing = 2 * 1.0  # zeros, where an empty clip is 1 everywhere, of cells and of places
    assert total.item() == pytest.approx(0.5 + 0.1 * 0.125 + told_of_nothing)


LOGITS = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [5.0, 5.0, 0.0]])


@pytest.mark.parametrize(("labels", "labelled"), [([0, 1, 2], [0, 1, 2]), ([0, -1, 2], [0, 2]), ([-1, 1, -1], [1])])
def test_unlabelled_rows_contribute_nothing(labels, labelled):
    whole = classification(LOGITS, torch.tensor(labels), label_smoothing=0.1)
    alone = classification(LOGITS[labelled], torch.tensor(labels)[labelled], label_smoothing=0.1)
    torch.testing.assert_close(whole, alone)


def test_without_smoothing_it_is_the_negative_log_likelihood():
    loss = classification(LOGITS[:1], torch.tensor([0]), label_smoothing=0.0)
    assert loss.item() == pytest.approx(-torch.log_softmax(LOGITS[0], 0)[0].item())


def test_a_batch_without_labels_gives_exactly_zero_and_zero_gradients():
    logits = LOGITS.clone().requires_grad_()
    loss = classification(logits, torch.tensor([-1, -1, -1]), label_smoothing=0.1)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_the_total_is_the_weighted_sum_of_the_terms():
    clean = torch.zeros(3, 3, 2, 2, 2)
    weights = {"reconstruction": 2.0, "haar": 3.0, "classification": 5.0, "descriptor": 7.0}
    config = TrainConfig(**{f"{name}_weight": weight for name, weight in weights.items()})
    total, terms = objective(_output(clean, LOGITS), _targets(clean, torch.tensor([0, 1, -1])), config)
    assert set(terms) == set(weights)
    torch.testing.assert_close(total, sum(weight * terms[name] for name, weight in weights.items()))


def test_the_embedding_gets_a_gradient_even_where_no_term_uses_it():
    clean = torch.zeros(1, 3, 2, 2, 2)
    output = _output(clean, None)
    total, terms = objective(output, _targets(clean, torch.tensor([-1])), TrainConfig())
    total.backward()
    assert "classification" not in terms
    assert torch.equal(output.embedding.grad, torch.zeros(1, 4))


def test_the_descriptor_term_is_a_mean_square_over_cells_and_one_over_places():
    clean = torch.rand(2, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole, places = describe(clean, CELLS, PLACES)
    assert descriptor(whole, places, clean) == 0
    whole[0, 0, 0, 0, 0] += 1.0
    places[1, 0, 0, 0, 0] += 2.0
    assert descriptor(whole, places, clean).item() == pytest.approx(1.0 / whole.numel() + 4.0 / places.numel())


def test_the_descriptor_term_is_left_out_without_its_weight():
    clean = torch.zeros(2, 3, 4, 16, 16)
    output, targets = _output(clean, None), _targets(clean, torch.tensor([-1, -1]))
    assert "descriptor" not in objective(output, targets, TrainConfig(descriptor_weight=0.0))[1]
    assert "descriptor" in objective(output, targets, TrainConfig(descriptor_weight=1.0))[1]
