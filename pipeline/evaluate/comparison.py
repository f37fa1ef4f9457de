"""Two evaluations side by side, and whether the second may take the first one's place: pure decisions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import ConfigError
from pipeline.evaluate.record import numbers

_LEFT_OUT = ("model", "split", "seeds", "controls")


@dataclass(frozen=True)
class Compared:
    """One figure of two models; `difference` is b - a, None where one has no such figure."""

    figure: str
    a: float | None
    b: float | None
    difference: float | None


@dataclass(frozen=True)
class Comparison:
    """All figures, and whether the intervals of the linear probes overlap."""

    model_a: str
    model_b: str
    figures: list[Compared]
    intervals_overlap: bool


def compare(a: Mapping[str, Any], b: Mapping[str, Any]) -> Comparison:
    """Set two evaluations beside each other.

    Raises:
        ConfigError: they were made on different splits.
    """
    require_comparable(a, b)
    of_a, of_b = (numbers({name: one[name] for name in one if name not in _LEFT_OUT}) for one in (a, b))
    figures = []
    for name in dict.fromkeys([*of_a, *of_b]):
        left, right = of_a.get(name), of_b.get(name)
        difference = None if left is None or right is None else right - left
        figures.append(Compared(name, left, right, difference))
    (low_a, high_a), (low_b, high_b) = a["linear_probe"]["ci95"], b["linear_probe"]["ci95"]
    return Comparison(str(a["model"]), str(b["model"]), figures, bool(low_a <= high_b and low_b <= high_a))


def require_comparable(a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
    """Raise a ConfigError where two evaluations were made on different splits."""
    if a["split"] != b["split"]:
        got = f"{a['split']} of model {a['model']}, {b['split']} of model {b['model']}"
        cure = "evaluate both with the same --split-columns"
        raise ConfigError("The two evaluations are of different splits.", where="split", got=got, cure=cure)


def reason_against(champion: Mapping[str, Any], candidate: Mapping[str, Any]) -> str | None:
    """Why a candidate may not take the champion's place; None where it may.

    It may where the mean of its linear probe is not below the low end of the champion's 95 % interval.
    """
    mean, low = float(candidate["linear_probe"]["mean"]), float(champion["linear_probe"]["ci95"][0])
    if mean >= low:
        return None
    return (
        f"linear probe {100 * mean:.1f} %, champion {champion['model']} has "
        f"{100 * float(champion['linear_probe']['mean']):.1f} % (95 % interval from {100 * low:.1f} %)"
    )
