"""How a run shares the cluster between training workers and decoding actors: pure arithmetic."""

from dataclasses import dataclass

from pipeline.errors import ConfigError

_CACHED_SHARE = 0.5  # of the object store; Ray spills to disk beyond it, which costs more than decoding again


@dataclass(frozen=True)
class Resources:
    """What each side of a run gets."""

    use_gpu: bool
    cpus_per_worker: float
    num_decoders: int
    is_cached: bool  # decoded clips are kept in the object store for all epochs


def share(
    *,
    num_cpus: float,
    num_gpus: float,
    object_store_bytes: float,
    num_workers: int,
    least_workers: int,
    clip_bytes: int,
) -> Resources:
    """Divide the cluster.

    Args:
        num_cpus: CPUs of the cluster.
        num_gpus: GPUs of the cluster.
        object_store_bytes: Memory of the smallest object store: each machine keeps all clips.
        num_workers: Training processes.
        least_workers: How many of them must be served now; the rest may come later.
        clip_bytes: Bytes of all decoded clips of the run.
    Raises:
        ConfigError: there are more workers than CPUs or GPUs can serve, or they could take the CPUs that clips which
            stream are decoded on.
    """
    use_gpu = num_gpus >= 1
    where = "--num-workers" if least_workers == num_workers else "--min-workers"
    if use_gpu and least_workers > num_gpus:
        raise ConfigError("There are more workers than GPUs.", where=where, got=least_workers, expected=num_gpus)
    if least_workers > 2 * num_cpus:
        expected = f"at most {int(2 * num_cpus)} on {num_cpus:g} CPUs"
        raise ConfigError("There are too many workers.", where=where, got=least_workers, expected=expected)
    is_cached = clip_bytes <= _CACHED_SHARE * object_store_bytes
    if least_workers < num_workers and not is_cached and not use_gpu:  # as many as fit would take the decoders' CPUs
        raise ConfigError(
            "Without GPUs, the number of workers can change only where all clips fit half of Ray's object store.",
            where="--min-workers",
            got=f"{clip_bytes / 1e9:.1f} GB of clips, {object_store_bytes / 1e9:.1f} GB of store",
            cure="leave out --min-workers, choose fewer videos, a smaller --size-px or a longer --stride-s",
        )
    if is_cached:  # decoding is over before training starts
        return Resources(use_gpu, min(1.0, num_cpus / num_workers), int(max(1, num_cpus)), True)
    num_running = int(min(num_workers, num_gpus)) if use_gpu else num_workers
    left = num_cpus - num_running
    if left >= 1:
        return Resources(use_gpu, 1.0, int(left), False)
    return Resources(use_gpu, max(0.1, (num_cpus - 1) / num_running), 1, False)
