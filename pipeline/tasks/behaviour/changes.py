"""Where the mean of a signal changes: exact, by pruned dynamic programming, with a penalty for every change."""

import math

import ruptures

from pipeline.tasks.behaviour.video_slices import Floats

MIN_SLICES = 2  # of a segment: one odd slice is no behaviour
MAX_SLICES = 4096  # searched at once; the search is quadratic where nothing changes
_TINY = 1e-12


def change_points(signal: Floats, *, noise: float, strength: float = 1.0) -> list[int]:
    """Where segments start.

    Squared distances to the mean of each segment, plus a penalty for each of them; minimised exactly by PELT (Killick
    et al. 2012), in the kernel change point detection of ruptures (Truong et al. 2020) with the linear kernel. The
    penalty is the Bayesian information criterion's for a mean in D dimensions, strength * noise * log(N), where noise
    is the noise's power over all dimensions.

    Args:
        signal: float64 (N, D), N >= 1.
        noise: Power of the noise, all dimensions together, as signal.noise_power finds it.
        strength: More: fewer changes; above 0.
    Returns:
        Increasing indices in [0, N), the first of them 0. Segments have MIN_SLICES slices at least, but in a signal
        that is shorter than two of them.
    """
    starts = []
    for offset in range(0, len(signal), MAX_SLICES):
        part = signal[offset : offset + MAX_SLICES]
        starts.append(offset)
        if len(part) >= 2 * MIN_SLICES:
            penalty = max(strength * noise * math.log(len(part)), _TINY)
            search = ruptures.KernelCPD(kernel="linear", min_size=MIN_SLICES).fit(part)
            starts += [offset + int(end) for end in search.predict(pen=penalty)[:-1]]
    return starts
