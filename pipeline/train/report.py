"""What a trained model can do, in words and pictures: the per-class report and reconstructions beside originals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import classification_report

_SHOWN_FRAMES = 4


def per_class_report(
    targets: Sequence[int], predictions: Sequence[int], labels: Sequence[str]
) -> tuple[str, dict[str, Any]]:
    """Precision, recall, F1 and support of each class, and the accuracy: scikit-learn's classification_report.

    Args:
        targets: Class index of each clip, in [0, len(labels)).
        predictions: The likeliest class of each clip.
        labels: Name of each class.
    Returns:
        The report as text and as a dictionary.
    """
    known = list(range(len(labels)))
    arguments = {"labels": known, "target_names": list(labels), "zero_division": 0}
    text = classification_report(targets, predictions, digits=3, **arguments)
    fields = classification_report(targets, predictions, output_dict=True, **arguments)
    accuracy = float(np.mean(np.asarray(targets) == np.asarray(predictions)))
    return text, {**fields, "accuracy": accuracy}


def reconstruction_figure(originals: NDArray[np.uint8], reconstructions: NDArray[np.uint8]) -> Any:
    """A matplotlib figure: for each clip a row of its frames above a row of their reconstructions.

    Args:
        originals: uint8 (B, T, H, W, C) RGB.
        reconstructions: uint8, the same shape.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    B, T = originals.shape[:2]
    shown = np.linspace(0, T - 1, min(_SHOWN_FRAMES, T)).round().astype(int)
    figure = Figure(figsize=(1.3 * len(shown), 2.9 * B), dpi=150, layout="constrained")
    axes = figure.subplots(2 * B, len(shown), squeeze=False)
    for clip in range(B):
        for column, t in enumerate(shown):
            for offset, frames, name in ((0, originals, "original"), (1, reconstructions, "reconstruction")):
                axis = axes[2 * clip + offset][column]
                axis.imshow(frames[clip, t])
                axis.set_axis_off()
                axis.set_title(f"{name}, frame {t}", fontsize=7, pad=2)
    return figure
