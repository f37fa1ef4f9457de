"""Two workers whose batches differ by a clip take the very step that one worker with all clips takes."""

import torch
import torch.distributed
import torch.multiprocessing
from torch import Tensor

from pipeline.train.contrast import covariance, instance_contrast, supervised_contrast, variance

VECTORS = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
SOURCES = torch.tensor([0, 1, 2, 0, 1, 2, 3, 4, 3, 4])  # views of 3 clips, then of 2
LABELS = torch.tensor([0, 1, 0, 0, 1, 0, 1, -1, 1, -1])
SIDES = (slice(0, 6), slice(6, 10))


def _terms(vectors: Tensor, sources: Tensor, labels: Tensor) -> list[Tensor]:
    return [
        instance_contrast(vectors, sources, temperature=0.5),
        supervised_contrast(vectors, labels, temperature=0.5),
        variance(vectors),
        covariance(vectors),
    ]


def _work(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    vectors = VECTORS[SIDES[rank]].clone().requires_grad_()
    own = SOURCES[SIDES[rank]] - (0, 3)[rank]  # every worker numbers its clips from 0
    terms = _terms(vectors, own, LABELS[SIDES[rank]])
    terms[2].backward()  # the same on both workers, so the gradient of each row comes twice
    torch.save(([term.item() for term in terms], vectors.grad), f"{folder}/{rank}")
    torch.distributed.destroy_process_group()


def test_workers_see_the_clips_of_each_other(tmp_path):
    torch.multiprocessing.spawn(_work, (str(tmp_path),), nprocs=2)
    (first, first_grad), (second, second_grad) = (torch.load(tmp_path / str(rank)) for rank in range(2))
    vectors = VECTORS.clone().requires_grad_()
    whole = _terms(vectors, SOURCES, LABELS)
    whole[2].backward()
    num_anchors = torch.tensor([[6.0, 6.0], [4.0, 2.0]])  # of instances, and of labels
    of_both = torch.tensor([first[:2], second[:2]])
    mean = (of_both * num_anchors).sum(0) / num_anchors.sum(0)
    torch.testing.assert_close(mean, torch.stack(whole[:2]).detach())
    torch.testing.assert_close(torch.tensor([first[2:], second[2:]]), torch.stack(whole[2:]).detach().expand(2, 2))
    torch.testing.assert_close(torch.cat([first_grad, second_grad]), 2 * vectors.grad)
