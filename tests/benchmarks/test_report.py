"""The planted root and its report, small: every figure is measured, and a missed one is named."""

from pathlib import Path

from benchmarks.report.proof import missed_figures, report_scale


def test_three_hundred_videos_have_a_report_that_opens(tmp_path: Path) -> None:
    answer = report_scale(tmp_path, num_videos=300)
    assert answer["messages"] == []
    assert answer["pictures"] > 300
    assert 0 < answer["bytes"] < 2_000_000
    assert 0 < answer["open_s"] < answer["build_s"]


def test_a_missed_figure_is_named() -> None:
    reached = {"build_s": 119.0, "bytes": 10**6, "open_s": 1.9, "messages": []}
    assert missed_figures(reached) == []
    assert missed_figures({"build_s": 121.0, "bytes": 3 * 10**7, "open_s": 2.1, "messages": ["x"]}) == [
        "build: 121.0 s, at most 120.0",
        "file: 30000000 bytes, at most 20000000",
        "open: 2.1 s, at most 2.0",
        "the browser complains: ['x']",
    ]
