"""An evaluation as it is kept: one JSON object, and the same as a Markdown table.

<root>/evaluations/<model_version>/{evaluation.json, evaluation.md, confusion.json, confusion.png, map.png}
"""

import json
from collections.abc import Mapping
from typing import Any

from pipeline import storage
from pipeline.errors import ConfigError
from pipeline.evaluate.judge import Judgement

FILE, PAGE, CONFUSION = "evaluation.json", "evaluation.md", "confusion.json"
FIDELITY = ("psnr_z", "ssim_z", "psnr_e")  # of reconstructions, one a measured clip


def figures(judged: Judgement, fidelity: Mapping[str, float | None] | None = None) -> dict[str, Any]:
    """The figures of one kind of vector; those of reconstructions are null where there is none."""
    return {
        "linear_probe": judged.linear_probe,
        "knn": judged.knn,
        "retrieval": judged.retrieval,
        **{name: (fidelity or {}).get(name) for name in FIDELITY},
        "effective_rank": judged.effective_rank,
    }


def folder_of(root: str, version: str) -> str:
    """Where the evaluation of a model is kept."""
    return storage.join(root, "evaluations", version)


def read(root: str, version: str) -> dict[str, Any]:
    """The kept evaluation of a model.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    uri = storage.join(folder_of(root, version), FILE)
    cure = f"run `sora evaluate --root {root} --model {version}`"
    try:
        found = json.loads(storage.read_bytes(uri))
        low, high = found["linear_probe"]["ci95"]
        float(found["linear_probe"]["mean"]), float(low), float(high), found["split"], found["controls"]
    except FileNotFoundError as e:
        raise ConfigError("The model has not been evaluated.", where=f"model {version}", got=uri, cure=cure) from e
    except (ValueError, KeyError, TypeError) as e:
        raise ConfigError("The evaluation of the model is damaged.", where=uri, got=repr(e), cure=cure) from e
    return dict(found)


def numbers(found: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Every single number by its dotted name, `linear_probe.mean`; intervals as `.low` and `.high`."""
    flat: dict[str, float] = {}
    for name, value in found.items():
        if isinstance(value, Mapping):
            flat |= numbers(value, f"{prefix}{name}.")
        elif isinstance(value, list) and len(value) == 2 and all(isinstance(one, float) for one in value):
            flat |= {f"{prefix}{name}.low": value[0], f"{prefix}{name}.high": value[1]}
        elif isinstance(value, int | float):
            flat[f"{prefix}{name}"] = float(value)
    return flat


def markdown(found: Mapping[str, Any]) -> str:
    """The evaluation as a Markdown table: the model in the first row, its controls below."""
    lines = [
        f"Model {found['model']}, {', '.join(found['split'])}, {found['seeds']} seeds. Shares in %.",
        "",
        "| vectors | linear probe | sd | 95 % interval | kNN | R@1 | R@5 | R@10 | R@20 | mAP | effective rank |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        _line(f"model {found['model']}", found),
        *(_line(name, one) for name, one in found["controls"].items() if one is not None),
        "",
        "| reconstruction of test videos | |",
        "|---|---|",
        f"| PSNR from z and e | {_number(found['psnr_z'], ' dB')} |",
        f"| SSIM from z and e | {_number(found['ssim_z'])} |",
        f"| PSNR from e alone | {_number(found['psnr_e'], ' dB')} |",
    ]
    return "\n".join(lines)


def _line(name: str, one: Mapping[str, Any]) -> str:
    probe, ranks = one["linear_probe"], one["retrieval"]
    low, high = probe["ci95"]
    cells = [name, _percent(probe["mean"]), _percent(probe["sd"]), f"{_percent(low)} to {_percent(high)}"]
    cells += [_percent(one["knn"]), *(_percent(ranks[key]) for key in ("r1", "r5", "r10", "r20", "map"))]
    cells.append(f"{one['effective_rank']:.1f}")
    return f"| {' | '.join(cells)} |"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _number(value: float | None, unit: str = "") -> str:
    return "none" if value is None else f"{value:.2f}{unit}"
