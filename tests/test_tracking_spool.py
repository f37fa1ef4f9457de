"""The spool: entries and their files wait under the root, in order, and each is told by one process."""

import logging
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline import storage, tracking, tracking_spool
from pipeline.tracking_spool import Entry, Outcome, Spool, TrackedRun

RUN = TrackedRun("0" * 32, "run", {}, 1_000)


def test_of_many_replays_at_once_each_entry_is_told_by_one(tmp_path: Path) -> None:
    root, told = f"file://{tmp_path}", []
    spool = Spool(root)
    for step in range(40):
        spool.keep(Entry(RUN, "metrics", step, {"values": {}, "step": step}))

    def tell(entry: Entry) -> Outcome:
        told.append(entry.at_ms)
        time.sleep(0.001)
        return "told"

    def replay() -> None:
        while tracking_spool.waiting(root):
            tracking_spool.drain(root, tell, limit_s=0.01)
            time.sleep(0.01)

    threads = [threading.Thread(target=replay) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == list(range(40))


def test_an_entry_that_must_wait_holds_up_its_run_and_no_other(tmp_path: Path) -> None:
    root, spool = f"file://{tmp_path}", Spool(f"file://{tmp_path}")
    other = TrackedRun("1" * 32, "other", {}, 1_000)
    for at_ms, run in enumerate([RUN, other, RUN, other]):
        spool.keep(Entry(run, "start", at_ms, {}))
    told: list[int] = []

    def tell(entry: Entry) -> Outcome:
        told.append(entry.at_ms)
        return "later" if entry.run == RUN else "told"

    assert tracking_spool.drain(root, tell) == 2
    assert told == [0, 1, 3]
    assert [tracking_spool.spool_id_of(uri) for uri in tracking_spool.waiting(root)] == [RUN.spool_id] * 2


def test_where_nothing_can_be_kept_the_job_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    (tmp_path / "tracking").write_text("a file where a folder is wanted")
    with caplog.at_level(logging.WARNING):
        tracker = tracking.Tracker(f"file://{tmp_path}", run_name="nowhere")
        tracker.log_metrics({"loss": 1.0})
        tracker.finish()
    assert sum("is lost" in record.message for record in caplog.records) == 1


def test_looking_for_what_waits_does_not_import_mlflow(tmp_path: Path) -> None:
    code = "import sys; from pipeline import tracking; tracking.replay(sys.argv[1]); assert 'mlflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, f"file://{tmp_path}"], check=True)


def test_entries_and_their_files_wait_on_s3_too(s3_root: str, tmp_path: Path) -> None:
    spool, seen = Spool(s3_root), []
    assert tracking_spool.waiting(s3_root) == []
    (tmp_path / "picture.png").write_bytes(b"png")
    spool.keep(Entry(RUN, "start", 1, {}))
    spool.keep(Entry(RUN, "files", 2, {"files": {"picture.png": f"file://{tmp_path}/picture.png"}}))

    def tell(entry: Entry) -> Outcome:
        seen.append((entry.at_ms, [storage.read_bytes(uri) for uri in entry.fields.get("files", {}).values()]))
        return "told"

    assert tracking_spool.drain(s3_root, tell) == 2
    assert seen == [(1, []), (2, [b"png"])]
    with pytest.raises(Exception, match="no such folder"):
        list(storage.list_objects(s3_root))
