"""Readers that poll while a writer commits, compaction replaces its files and vacuum removes them.

python -m benchmarks.readers --json
python -m benchmarks.readers --s3 --json       the tables on an S3 server of its own

writer process: whole videos, several a commit --TableWriter--> features
upkeep process: maintain(keep_hours=1), the least that is allowed, in a loop
reader processes, one for each engine: every visible video whole, and nothing seen before is gone
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from benchmarks.readers.engines import ENGINES, read_keys
from benchmarks.readers.table import OLD_FILES_S, age_table, num_slices, play_upkeep, play_writer, video_ids
from pipeline import storage, tables
from tests.support.s3_server import S3Server

_LIMIT_S = 80.0
_POLL_EVERY_S = 0.05  # on two cores
_MAX_TEXTS = 5


def reader_polling(folder: Path, *, num_commits: int = 50, old_files_s: float = OLD_FILES_S) -> dict[str, Any]:
    """Poll a table on local disk below `folder` during at least `num_commits` commits, compactions and vacuums."""
    return poll_root(storage.normalize(str(folder / "root")), num_commits=num_commits, old_files_s=old_files_s)


def poll_root(root: str, *, num_commits: int, old_files_s: float = OLD_FILES_S) -> dict[str, Any]:
    """The same on a root anywhere.

    Args:
        root: The root's URI; it has no tables yet.
        num_commits: Commits of the writer.
        old_files_s: Seconds within which the files of the table's past come of age, one after another.

    Returns:
        commits, compactions, vacuums, files_vacuumed; videos; polls of each engine; partial_videos, doubled,
        disappeared: videos, each counted once an engine and kind; missing: videos an engine did not see at the end;
        errors and the first error_texts.
    """
    tables.create_missing(root)
    num_old = age_table(root, old_files_s)
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[tuple[str, dict[str, Any]]] = context.Queue()
    written, kept = context.Event(), context.Event()
    upkeep = context.Process(target=_answer, args=(answers, "upkeep", play_upkeep, root, old_files_s, written, kept))
    readers = [context.Process(target=_answer, args=(answers, name, _poll, root, name, kept)) for name in ENGINES]
    writer = context.Process(target=_answer, args=(answers, "writer", play_writer, root, num_commits, num_old, written))
    processes: list[BaseProcess] = [upkeep, *readers, writer]
    for process in processes:
        process.start()
    try:
        found = dict(answers.get(timeout=_LIMIT_S) for _ in processes)
    finally:
        for process in processes:
            process.kill()
            process.join()
    return _summary(found, video_ids(num_old + found["writer"]["videos"]))


def wrong_videos(slices: Mapping[tuple[str, int], int], seen: set[str]) -> dict[str, set[str]]:
    """The videos one poll should not have shown so.

    Args:
        slices: How often each (video_id, clip_index) was read.
        seen: The videos of the poll before.
    """
    whole = Counter(video_id for video_id, _ in slices)
    return {
        "partial_videos": {video_id for video_id, number in whole.items() if number != num_slices(video_id)},
        "doubled": {video_id for (video_id, _), times in slices.items() if times > 1},
        "disappeared": seen - whole.keys(),
    }


def _answer(answers: Any, name: str, play: Any, *arguments: Any) -> None:
    """A process of the play: what it returns, or the error that ended it."""
    try:
        answers.put((name, play(*arguments)))
    except Exception as e:  # raised again; the parent waits for an answer, whatever went wrong
        answers.put((name, {"errors": [f"{name}: {type(e).__name__}: {e}"]}))
        raise


def _poll(root: str, engine: str, is_over: Event) -> dict[str, Any]:
    """Read until the play is over, and once more; what was wrong, by video."""
    seen: set[str] = set()
    wrong: defaultdict[str, set[str]] = defaultdict(set)
    errors: list[str] = []
    polls, is_last = 0, False
    while not is_last:
        is_last = is_over.is_set()
        try:
            slices = Counter(read_keys(engine, root))
        except Exception as e:  # noqa: BLE001  whatever a reader meets is the finding
            errors.append(f"{engine}: {type(e).__name__}: {e}")
            continue
        polls += 1
        for kind, videos in wrong_videos(slices, seen).items():
            wrong[kind] |= videos
        seen = {video_id for video_id, _ in slices}
        is_over.wait(_POLL_EVERY_S)
    return {"polls": polls, "seen": seen, **wrong, "errors": errors}


def _summary(found: dict[str, dict[str, Any]], expected: set[str]) -> dict[str, Any]:
    readers = {name: answer for name, answer in found.items() if name in ENGINES}
    errors = [text for answer in found.values() for text in answer["errors"]]

    def wrong(kind: str) -> int:
        return sum(len(answer.get(kind, ())) for answer in readers.values())

    return {
        **{name: found["upkeep"].get(name, 0) for name in ("compactions", "vacuums", "files_vacuumed")},
        "commits": found["writer"].get("commits", 0),
        "videos": len(expected),
        "polls": {name: answer.get("polls", 0) for name, answer in readers.items()},
        **{kind: wrong(kind) for kind in ("partial_videos", "doubled", "disappeared")},
        "missing": sum(len(expected ^ answer.get("seen", set())) for answer in readers.values()),
        "errors": len(errors),
        "error_texts": errors[:_MAX_TEXTS],
    }


def missed(answer: dict[str, Any]) -> list[str]:
    """What a reader saw that is wrong, in words; also where there was nothing to see: no file replaced or removed."""
    zeros = ("partial_videos", "doubled", "disappeared", "missing", "errors")
    wrong = [f"{name}: {answer[name]}, must be 0" for name in zeros if answer[name]]
    seen = {"compactions": answer["compactions"], "files_vacuumed": answer["files_vacuumed"], **answer["polls"]}
    return wrong + [f"{name}: none" for name, number in seen.items() if not number]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; 1 where a reader saw anything wrong."""
    parser = argparse.ArgumentParser("python -m benchmarks.readers", description=__doc__.splitlines()[0])
    parser.add_argument("--commits", type=int, default=50, help="commits of the writer")
    parser.add_argument("--s3", action="store_true", help="on an S3 server of its own instead of the local disk")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    arguments = parser.parse_args(argv)
    if arguments.s3:
        with S3Server() as server:
            os.environ.update(server.env)
            answer = poll_root(f"{server.make_bucket('sora-readers')}/root", num_commits=arguments.commits)
    else:
        with tempfile.TemporaryDirectory(prefix="sora-readers-") as folder:
            answer = reader_polling(Path(folder), num_commits=arguments.commits)
    print(json.dumps(answer) if arguments.json else "\n".join(f"{name}: {value}" for name, value in answer.items()))
    return int(bool(missed(answer)))


if __name__ == "__main__":
    sys.exit(main())
