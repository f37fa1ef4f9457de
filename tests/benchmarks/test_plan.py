"""The synthetic catalog and its plan: every video is counted, as what it is."""

from pathlib import Path

from benchmarks.plan.catalog import Shares, shares
from benchmarks.plan.proof import missed_figures, plan_scale


def test_a_thousand_videos_are_counted_as_what_they_are(tmp_path: Path) -> None:
    answer = plan_scale(tmp_path, num_videos=1000)
    mostly_done, first_run = answer["mostly_done"], answer["first_run"]
    assert shares(1000) == Shares(videos=1000, done=900, given_up=5, due_again=5)
    assert [mostly_done[name] for name in ("videos", "done", "given_up", "pending", "due_again")] == [
        1000,
        900,
        5,
        95,
        5,
    ]
    assert [first_run[name] for name in ("videos", "done", "given_up", "pending", "due_again")] == [1000, 0, 5, 995, 5]
    assert mostly_done["is_exact"]
    assert first_run["is_exact"]


def test_a_missed_figure_is_named() -> None:
    plan = {"is_exact": True, "videos": 1000, "anti_join_s": 1.0, "peak_rss_mb": 500}
    assert missed_figures({"mostly_done": plan, "first_run": plan}) == []
    slow, large = {**plan, "anti_join_s": 31.0}, {**plan, "peak_rss_mb": 1001}
    assert missed_figures({"mostly_done": slow, "first_run": large}) == [
        "mostly_done: 31.0 s, at most 30.0",
        "first_run: 1001 MB, at most 1000",
    ]
    assert missed_figures({"mostly_done": {**slow, "videos": 10**7}, "first_run": plan}) == []
