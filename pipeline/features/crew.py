"""How many workers an extraction has, and what each of them holds: pure, from what the cluster has and what was asked.

CPUs only   a worker a CPU: it encodes on one thread, and its decoder process works ahead meanwhile
GPUs        a worker a GPU, which decodes as many videos at a time as its node has CPUs for each GPU
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Machines:
    """What the cluster has now.

    Args:
        num_cpus, num_gpus: Of all nodes.
        cpus_per_gpu: Of the node with GPUs that has the fewest for each; CPUs of other nodes are out of its reach.
    """

    num_cpus: int
    num_gpus: int = 0
    cpus_per_gpu: int = 0


def machines(nodes: Sequence[Mapping[str, float]]) -> Machines:
    """What there is, from the CPU and GPU entries of every live node."""
    with_gpus = [node for node in nodes if node.get("GPU", 0) >= 1]
    return Machines(
        num_cpus=max(1, int(sum(node.get("CPU", 0) for node in nodes))),
        num_gpus=int(sum(node["GPU"] for node in with_gpus)),
        cpus_per_gpu=min((int(node.get("CPU", 0) // node["GPU"]) for node in with_gpus), default=0),
    )


@dataclass(frozen=True)
class Crew:
    """The workers of an extraction.

    Args:
        num_workers: Processes with a network each.
        num_decoders: Videos that one decodes at a time, each in a decoder process of its own.
        cpus_per_worker, gpus_per_worker: What one holds of the cluster.
    """

    num_workers: int
    num_decoders: int
    cpus_per_worker: int
    gpus_per_worker: int

    @property
    def videos_at_once(self) -> int:
        """Videos that are worked on at a time."""
        return self.num_workers * self.num_decoders


def crew(found: Machines, *, num_workers: int | None, num_decoders: int | None) -> Crew:
    """The crew for a cluster.

    Args:
        found: The cluster.
        num_workers, num_decoders: What was asked for; None: what suits the cluster.
    """
    if not found.num_gpus:
        return Crew(num_workers or found.num_cpus, num_decoders or 1, cpus_per_worker=1, gpus_per_worker=0)
    cpus = max(1, found.cpus_per_gpu)
    return Crew(num_workers or found.num_gpus, num_decoders or cpus, cpus_per_worker=cpus, gpus_per_worker=1)
