"""How many directions the vectors really use."""

import numpy as np
from numpy.typing import NDArray


def effective_rank(vectors: NDArray[np.floating]) -> float:
    """The exponential of the entropy of the singular values' shares (Roy & Vetterli 2007), columns centred.

    Args:
        vectors: float (N, D), finite.
    Returns:
        In [1, min(N - 1, D)]; 0.0 where all vectors are the same.
    Raises:
        ValueError: another shape, or a value that is not finite.
    """
    values = singular_values(vectors)
    values = values[values > 0]
    if not values.size:
        return 0.0
    shares = values / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def singular_values(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """The singular values of the vectors less their mean, the largest first.

    Args:
        vectors: float (N, D), finite.
    Returns:
        float64 (min(N, D),); 0 where nothing but rounding is left. Divided by sqrt(N) they are standard deviations.
    Raises:
        ValueError: another shape, or a value that is not finite.
    """
    x = np.asarray(vectors, dtype=np.float64)
    if x.ndim != 2 or x.size == 0:
        raise ValueError(f"expected (N, D) with no size 0, got vectors.shape = {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError(f"expected finite vectors, got {int((~np.isfinite(x)).any(axis=1).sum())} rows that are not")
    values: NDArray[np.float64] = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    noise = np.linalg.norm(x) * np.finfo(np.float64).eps * max(x.shape)  # what subtracting the mean leaves of nothing
    return np.where(values > noise, values, 0.0)
