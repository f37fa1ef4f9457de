"""What is left to do is an anti-join, and is cut into tasks of about the same work."""

import itertools
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline import tables
from pipeline.errors import ConfigError
from pipeline.features.pending import find_pending, task_boundaries
from pipeline.features.retry import RetryPolicy, is_due
from tests.test_tables import feature_row


@pytest.fixture
def root(tmp_path: Path) -> str:
    uri = f"file://{tmp_path}"
    tables.create_missing(uri)
    videos = [("done", "ok"), ("failed", "ok"), ("new", "ok"), ("other-model", "ok"), ("gone", "vanished")]
    tables.append_rows(uri, "videos", [video_row(name, status) for name, status in videos])
    tables.append_rows(uri, "features", [feature_row("done", 0), feature_row("done", 1)])
    tables.append_rows(uri, "features", [{**feature_row("other-model", 0), "model_version": "6"}])
    tables.append_rows(uri, "failures", [failure_row("failed", attempts) for attempts in (1, 2)])
    return uri


def video_row(name: str, status: str, version: str = "1") -> dict[str, Any]:
    return {"video_id": name, "uri": f"file:///{name}", "version": version, "status": status, "duration_s": 2.0}


def failure_row(name: str, attempts: int) -> dict[str, Any]:
    stamps = {"run_key": "r", "ds": feature_row("x", 0)["ds"]}
    failure = {"stage": "decode", "error_class": "corrupt", "attempts": attempts}
    return {"video_id": name, "uri": f"file:///{name}", "version": "1", **failure, **stamps}


def pending(root: str, **options: Any) -> dict[str, int]:
    plan = find_pending(root, model_version="7", sampling_digest="s", policy=RetryPolicy(**options))
    return dict(zip(plan.videos["video_id"].to_pylist(), plan.videos["attempts"].to_pylist(), strict=True))


def test_only_live_videos_without_vectors_of_this_model_are_pending(root: str) -> None:
    assert pending(root) == {"new": 0, "other-model": 0}


@pytest.mark.parametrize(
    ("error_class", "attempts", "due"),
    [
        ("timeout", 1, True),
        ("timeout", 2, True),
        ("timeout", 3, False),
        ("crashed", 1, True),
        ("out_of_memory", 2, True),
        ("io_error", 1, True),
        ("corrupt", 1, False),
        ("no_video", 1, False),
        ("too_large", 1, False),
        ("input_changed", 1, False),
        ("partial", 9, True),
    ],
)
def test_what_may_pass_is_tried_three_times_and_a_bad_file_once(error_class: str, attempts: int, due: bool) -> None:
    assert is_due(error_class, attempts, max_attempts=3) is due


def test_a_failure_that_may_pass_is_pending_until_it_is_given_up(root: str) -> None:
    tables.append_rows(root, "failures", [{**failure_row("new", 1), "error_class": "timeout"}])
    assert pending(root) == {"new": 1, "other-model": 0}
    assert pending(root, max_attempts=1) == {"other-model": 0}


def test_a_partial_video_is_pending_for_another_model_and_done_for_its_own(root: str) -> None:
    tables.append_rows(
        root, "failures", [{**failure_row(name, 1), "error_class": "partial"} for name in ("done", "new")]
    )
    assert "done" not in pending(root)
    assert pending(root)["new"] == 1


def test_only_failures_like_those_asked_for_are_taken_again(root: str) -> None:
    assert "failed" in pending(root, retry_failed=True, where="error_class = 'corrupt'")
    assert "failed" not in pending(root, retry_failed=True, where="error_class = 'crashed'")
    with pytest.raises(ConfigError, match="--where"):
        pending(root, retry_failed=True, where="error_class === 1")


def test_since_leaves_out_what_was_cataloged_before(root: str) -> None:
    row = {**video_row("late", "ok"), "cataloged_at": datetime(2026, 3, 1, tzinfo=UTC)}
    tables.append_rows(root, "videos", [row])
    assert pending(root, since=datetime(2026, 2, 1, tzinfo=UTC)) == {"late": 0}


def test_retrying_takes_the_failed_again_and_counts_on(root: str) -> None:
    assert pending(root, retry_failed=True) == {"failed": 2, "new": 0, "other-model": 0}


def test_a_new_version_of_a_done_video_is_pending(root: str) -> None:
    tables.append_rows(root, "videos", [video_row("done", "ok", version="2")])
    assert "done" in pending(root)


def test_the_plan_counts_everything_once(root: str) -> None:
    plan = find_pending(root, model_version="7", sampling_digest="s", policy=RetryPolicy())
    assert plan.num_cataloged == plan.num_done + plan.num_given_up + plan.videos.num_rows == 4


@pytest.mark.parametrize(
    ("durations_s", "expected"),
    [
        ([], []),
        ([10.0], [(0, 1)]),
        ([40.0, 40.0, 10.0], [(0, 1), (1, 3)]),
        ([500.0, 1.0], [(0, 1), (1, 2)]),
        ([None, None], [(0, 1), (1, 2)]),
        ([1e15, -1.0, 1.0], [(0, 1), (1, 2), (2, 3)]),
        ([0.5] * 40, [(0, 16), (16, 32), (32, 40)]),
    ],
)
def test_tasks_hold_a_minute_of_video_or_16_files(
    durations_s: list[float | None], expected: list[tuple[int, int]]
) -> None:
    assert task_boundaries(durations_s) == expected


def test_a_million_videos_are_a_bounded_number_of_tasks() -> None:
    ranges = task_boundaries([12.0, 1.0, None, 3600.0] * 250_000)
    assert len(ranges) <= 10_000
    assert ranges[0][0] == 0
    assert ranges[-1][1] == 1_000_000
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(ranges))
