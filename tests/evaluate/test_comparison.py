"""Who may take the champion's place."""

from typing import Any

import pytest

from pipeline.errors import ConfigError
from pipeline.evaluate.comparison import compare, reason_against
from pipeline.evaluate.record import markdown


def evaluation(model: str, mean: float, half: float = 0.05, split: str = "split1") -> dict[str, Any]:
    return {
        "model": model,
        "split": [split],
        "seeds": 1,
        "linear_probe": {"mean": mean, "sd": 0.0, "ci95": [mean - half, mean + half]},
        "knn": mean,
        "retrieval": dict.fromkeys(("r1", "r5", "r10", "r20", "map"), mean),
        "psnr_z": None,
        "ssim_z": None,
        "psnr_e": None,
        "effective_rank": 3.0,
        "controls": {"r3d18": None},
    }


@pytest.mark.parametrize(("mean", "may"), [(0.7, True), (0.5, True), (0.46, True), (0.44, False)])
def test_only_a_model_below_the_interval_is_refused(mean: float, may: bool) -> None:
    assert (reason_against(evaluation("1", 0.5), evaluation("2", mean)) is None) is may


def test_figures_stand_side_by_side() -> None:
    found = compare(evaluation("1", 0.5), evaluation("2", 0.58))
    probe = next(one for one in found.figures if one.figure == "linear_probe.mean")
    assert probe.difference == pytest.approx(0.08)
    assert found.intervals_overlap
    assert not compare(evaluation("1", 0.5), evaluation("2", 0.7)).intervals_overlap


def test_other_splits_are_not_compared() -> None:
    with pytest.raises(ConfigError, match="different splits"):
        compare(evaluation("1", 0.5), evaluation("2", 0.5, split="split2"))


def test_the_page_has_a_line_for_each_control_that_was_given() -> None:
    page = markdown({**evaluation("1", 0.5), "controls": {"pca64": evaluation("", 0.25), "r3d18": None}})
    assert "| pca64 | 25.0 |" in page
    assert "r3d18" not in page
