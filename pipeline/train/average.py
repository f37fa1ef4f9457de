"""Averaged weights: an exponential moving average of a network, which scores better than its last step."""

import copy

import torch
import torch.distributed
from torch import nn

from pipeline.model.autoencoder import VideoAutoencoder


def kept_share(decay: float, step: int) -> float:
    """Share of the old average that a step keeps: min(decay, (1 + step) / (10 + step)).

    The warm-up of TensorFlow's ExponentialMovingAverage: the average reaches back over a ninth of the steps so far at
    most, so a run of a hundred steps does not publish the weights it began with.

    Args:
        decay: In [0, 1); 0 keeps nothing: the average is the network itself.
        step: Steps done before this one.
    """
    return min(decay, (1 + step) / (10 + step))


class WeightAverage:
    """Averaged weights of a network (Polyak and Juditsky 1992; as in Tarvainen and Valpola 2017, arXiv:1703.01780).

    Running statistics are averaged with the weights: those of the last step belong to its weights alone.

    Args:
        network: The network that is trained, not its DistributedDataParallel wrapper.
        decay: Share of the old average that a step keeps in the long run, in [0, 1).
    """

    def __init__(self, network: VideoAutoencoder, *, decay: float):
        self.network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, *, step: int) -> None:
        """Move the average towards the network's weights.

        Args:
            network: As the step has left it.
            step: Steps done before this one; what the average needs to know of the past, so a resumed run goes on.
        """
        old, new = self.network.state_dict(), network.state_dict()
        numbers = [name for name, value in old.items() if value.is_floating_point()]
        pull = 1 - kept_share(self._decay, step)
        torch._foreach_lerp_([old[name] for name in numbers], [new[name] for name in numbers], pull)
        for name in old.keys() - numbers:
            old[name].copy_(new[name])

    def agree(self) -> None:
        """Take over the first worker's running statistics: each worker has gathered those of its own clips."""
        if torch.distributed.is_initialized():
            for buffer in self.network.buffers():
                torch.distributed.broadcast(buffer, src=0)
