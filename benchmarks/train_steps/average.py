"""Averaged weights: an exponential moving average of a network, which scores better than its last step."""

import copy

import torch
from torch import nn


class WeightAverage:
    """Averaged weights of a network (Polyak and Juditsky 1992; as in Tarvainen and Valpola 2017).

    The decay grows from 0.1 to `decay`, min(decay, (1 + n) / (10 + n)) at update n, so that the first weights are soon
    forgotten.

    Args:
        model: The network that is trained, not its DistributedDataParallel wrapper.
        decay: Share of the old average that a step keeps, in [0, 1).
    """

    def __init__(self, model: nn.Module, *, decay: float):
        self.model = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
        self.num_updates = 0
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the weights of `model`; buffers are taken over as they are."""
        keep = min(self._decay, (1 + self.num_updates) / (10 + self.num_updates))
        self.num_updates += 1
        old = list(self.model.parameters())
        torch._foreach_lerp_(old, [p.detach() for p in model.parameters()], 1 - keep)
        for mine, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)
