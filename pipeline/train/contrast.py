"""Terms that pull views of one video together and push the rest apart: no pixels, no network.

    instance       views of one clip, against the views of all others                     (Chen et al. 2020, SimCLR)
    local-local    the same moment in two views, against the other moments of that clip   (Dave et al. 2022, TCLR)
    global-local   a whole view, against the moments of the other view outside it         (Dave et al. 2022, TCLR)
    supervised     clips of one class, against the clips of the others                    (Khosla et al. 2020, SupCon)
    variance, covariance   dimensions of the batch that vary, and each on its own         (Bardes et al. 2022, VICReg)

Vectors of all workers take part where a term compares clips: `gathered`.
"""

import torch
import torch.distributed
import torch.distributed.nn.functional
import torch.nn.functional as F
from torch import Tensor

FRAMES_PER_MOMENT = 4.0  # two steps no further apart than this many frames of the source show the same moment


def gathered(x: Tensor) -> Tensor:
    """The rows of all workers, in the order of their ranks; gradients flow back to each. One worker: x itself."""
    if _world_size() == 1:
        return x
    counts = _row_counts(x)
    padded = F.pad(x, (0, 0) * (x.ndim - 1) + (0, max(counts) - len(x))).contiguous()  # workers may differ by a clip
    if x.requires_grad:
        parts = torch.distributed.nn.functional.all_gather(padded)  # type: ignore[no-untyped-call]
    else:
        parts = [torch.empty_like(padded) for _ in counts]
        torch.distributed.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def info_nce(similarity: Tensor, positives: Tensor, candidates: Tensor, *, temperature: float) -> Tensor:
    """Mean over anchors and positives of -log(exp(s_p / t) / sum over candidates of exp(s / t)).

    Args:
        similarity: float (..., N, M), cosines.
        positives: bool (..., N, M); an anchor without one, or with nothing but positives, is left out.
        candidates: bool (..., N, M), positives included.
        temperature: > 0.
    Returns:
        A scalar; 0 where no anchor is left.
    """
    logits = (similarity.float() / temperature).masked_fill(~candidates, -torch.inf)
    used = positives.any(-1) & (candidates & ~positives).any(-1)
    log_total = torch.logsumexp(torch.where(used[..., None], logits, 0.0), dim=-1, keepdim=True)
    terms = torch.where(positives & used[..., None], log_total - logits, 0.0)
    per_anchor = terms.sum(-1) / positives.sum(-1).clamp(min=1)
    return per_anchor.sum() / used.sum().clamp(min=1)


def instance_contrast(projected: Tensor, sources: Tensor, *, temperature: float) -> Tensor:
    """Views of one clip against those of all other clips, of all workers.

    Args:
        projected: float (N, P), one vector a view.
        sources: int64 (N,), the clip of each; equal numbers of different workers are different clips.
    """
    others, keys = _of_all_workers(projected, sources)
    return _contrast_of_keys(projected, _own(sources), others, keys, temperature)


def supervised_contrast(projected: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """Labelled views of one class against those of all other classes, of all workers; label -1 takes no part."""
    others, keys = gathered(F.normalize(projected, dim=-1)), gathered(labels)
    return _contrast_of_keys(projected, labels, others, keys, temperature)


def local_contrast(steps: Tensor, times: Tensor, *, temperature: float) -> Tensor:
    """The same moment of a clip in its two views, against the other moments of the second view.

    Args:
        steps: float (2B, T', P): first view of every clip, then the second.
        times: float (2B, T'), the middle of each step, in frames of the clip.
    """
    first, second = F.normalize(steps, dim=-1).chunk(2)
    first_times, second_times = times.chunk(2)
    apart = (first_times[:, :, None] - second_times[:, None, :]).abs()
    positives = apart <= FRAMES_PER_MOMENT / 2
    similarity = first @ second.transpose(1, 2)
    everything = torch.ones_like(positives)
    forth = info_nce(similarity, positives, everything, temperature=temperature)
    back = info_nce(similarity.mT, positives.mT, everything, temperature=temperature)
    return (forth + back) / 2


def global_local_contrast(steps: Tensor, times: Tensor, *, temperature: float) -> Tensor:
    """A whole view against the moments of the other view: inside its span they are positives, outside negatives."""
    views, moments = steps.mean(dim=1), F.normalize(steps, dim=-1)
    total = torch.zeros((), device=steps.device)
    halves = list(zip(F.normalize(views, dim=-1).chunk(2), moments.chunk(2), times.chunk(2), strict=True))
    for (whole, _, span), (_, others, moment) in (halves, halves[::-1]):
        inside = (moment >= span.amin(1, keepdim=True)) & (moment <= span.amax(1, keepdim=True))
        similarity = torch.einsum("bp,btp->bt", whole, others)
        total = total + info_nce(similarity, inside, torch.ones_like(inside), temperature=temperature)
    return total / 2


def variance(vectors: Tensor) -> Tensor:
    """Mean over dimensions of max(0, 1 - standard deviation) of the batch; float (N, D), rows of all workers."""
    everyone = gathered(vectors.float())
    deviation = (everyone.var(dim=0, unbiased=False) + 1e-4).sqrt()
    return F.relu(1 - deviation).mean()


def covariance(vectors: Tensor) -> Tensor:
    """Sum of the squared off-diagonal covariances over D; float (N, D), rows of all workers."""
    everyone = gathered(vectors.float())
    centred = everyone - everyone.mean(dim=0)
    matrix = centred.T @ centred / max(1, len(everyone) - 1)
    return (matrix.square().sum() - matrix.diagonal().square().sum()) / vectors.shape[1]


def _contrast_of_keys(anchors: Tensor, own: Tensor, others: Tensor, keys: Tensor, temperature: float) -> Tensor:
    similarity = F.normalize(anchors, dim=-1) @ others.T
    offset = sum(_row_counts(anchors)[: _rank()])
    is_self = torch.zeros_like(similarity, dtype=torch.bool)
    is_self[:, offset : offset + len(anchors)].fill_diagonal_(True)
    candidates = ~is_self & (keys >= 0) & (own[:, None] >= 0)
    positives = candidates & (own[:, None] == keys)
    return info_nce(similarity, positives, candidates, temperature=temperature)


def _of_all_workers(vectors: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
    return gathered(F.normalize(vectors, dim=-1)), gathered(_own(sources))


def _own(sources: Tensor) -> Tensor:
    """Sources numbered so that no two workers share one."""
    return sources + _rank() * (1 << 32)


def _row_counts(x: Tensor) -> list[int]:
    """How many rows each worker has."""
    counts = [torch.empty(1, dtype=torch.int64, device=x.device) for _ in range(_world_size())]
    if len(counts) == 1:
        return [len(x)]
    torch.distributed.all_gather(counts, torch.tensor([len(x)], device=x.device))
    return [int(count) for count in counts]


def _world_size() -> int:
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def _rank() -> int:
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
