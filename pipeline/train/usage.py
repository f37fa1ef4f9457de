"""What an epoch of training took of the machine."""

import torch


def usage(num_clips: float, elapsed_s: float, device: torch.device) -> dict[str, float]:
    """Clips a second over all workers, and on a GPU the most memory that this worker's tensors have held.

    Args:
        num_clips: Clips learned from in the epoch.
        elapsed_s: Seconds of it, without its validation.
        device: Of this worker.
    """
    found = {"train_clips_per_second": num_clips / elapsed_s}
    if device.type == "cuda":
        found["gpu_memory_gb"] = torch.cuda.max_memory_allocated(device) / 1e9
        torch.cuda.reset_peak_memory_stats(device)
    return found
