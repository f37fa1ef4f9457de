"""Verify: a clean root is clean, and every kind of damage is named, with the place and the cure."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline import datafiles, maintenance, schema, storage, tables
from pipeline.errors import CheckpointError, SoraError
from pipeline.report.laws import FILE_LAWS, LAWS
from pipeline.report.verify import verify
from tests.support.sora import Sora
from tests.test_tables import DS, feature_row

SLICES = 3
NOW = datetime(2026, 1, 2, 4, tzinfo=UTC)  # an hour after feature_row's vectors were made


@pytest.fixture
def root(tmp_path: Path) -> str:
    """Videos done, failed, done in part, broken, superseded and vanished: all as it should be."""
    root = storage.normalize(str(tmp_path / "root"))
    tables.create_missing(root)
    name_champion(root)
    videos = [("a", "ok"), ("b", "ok"), ("bad", "ok"), ("torn", "ok"), ("no", "failed"), ("gone", "vanished")]
    tables.append_rows(root, "videos", [video(name, status) for name, status in videos])
    tables.append_rows(root, "videos", [video("a", "superseded", version="0")])
    for name in ("a", "b", "torn", "gone"):
        tables.append_rows(root, "features", slices(name))
    failures = [failure("bad"), failure("torn", error_class="partial"), failure("no", stage="probe")]
    retried = failure("b", failed_at=NOW - timedelta(days=1))  # failed once, and went well the next time
    tables.append_rows(root, "failures", [*failures, retried])
    return root


def name_champion(root: str) -> None:
    storage.put(storage.join(root, "models", "7", "model.json"), b'{"digest": "d"}')
    storage.put(storage.join(root, "models", "champion.json"), b'{"version": "7"}')


def video(name: str, status: str, version: str = "1") -> dict[str, Any]:
    return {"video_id": name, "uri": f"file:///{name}", "version": version, "status": status}


def slices(name: str, num: int = SLICES, **changed: Any) -> list[dict[str, Any]]:
    return [{**feature_row(name, index, changed.get("version", "1")), **changed} for index in range(num)]


def failure(name: str, **changed: Any) -> dict[str, Any]:
    row = {**video(name, "ok"), "stage": "decode", "error_class": "corrupt", "attempts": 1, "failed_at": NOW}
    return {**row, "run_key": "r", "ds": DS, **changed}


def predictions(name: str, num: int = SLICES) -> list[dict[str, Any]]:
    """What a head says of a video: a row for each slice, and one for all."""
    answer = {"label": "x", "probability": 1.0, "top_labels": ["x"], "top_probabilities": [1.0]}
    head = {"head": "h", "head_version": "1", "model_version": "7", "is_unknown": False, "unknown_below": 0.0}
    row = {**video(name, "ok"), **answer, **head, "start_s": 0.0, "end_s": 1.0, "run_key": "p", "ds": DS}
    clips = [{**row, "level": "clip", "clip_id": one["clip_id"]} for one in slices(name, num)]
    return [*clips, {**row, "level": "video"}]


def commit_unchecked(root: str, name: str, rows: list[dict[str, Any]], **lies: Any) -> None:
    """Commit rows as no job of ours would: without a look at the keys, and with a false description."""
    complete = [{column: row.get(column) for column in schema.TABLES[name].names} for row in rows]
    files = datafiles.write(root, name, pa.Table.from_pylist(complete, schema.TABLES[name]))
    assert tables.swap(root, name, [], [datafiles.DataFile(**{**vars(file), **lies}) for file in files])


def drop(root: str, name: str, where: pc.Expression) -> None:
    tables.replace(root, name, where, lambda taken: taken.slice(0, 0))


def path_of(root: str, name: str) -> Path:
    """The file of `features` with the rows of one video."""
    for file in datafiles.files("features", tables.open_table(root, "features")):
        if name in datafiles.read(root, "features", file)["video_id"].to_pylist():
            return storage.local_path(datafiles.table_uri(root, "features")) / file.path
    raise AssertionError(name)


def found(root: str, **options: Any) -> dict[str, list[str]]:
    """Broken laws, each with the names of the objects concerned."""
    findings = verify(root, **options).findings
    assert all(finding.cure and finding.count >= len(finding.examples) > 0 for finding in findings)
    return {finding.law: [example["uri"].rsplit("/", 1)[-1] for example in finding.examples] for finding in findings}


@pytest.mark.parametrize("fast", [False, True])
def test_a_clean_root_is_clean(root: str, fast: bool) -> None:
    verdict = verify(root, fast=fast)
    assert (verdict.findings, verdict.not_checked) == ([], [])
    assert (verdict.live_videos, verdict.done, verdict.failed, verdict.clips) == (4, 3, 1, 4 * SLICES)


def test_a_root_of_before_the_predictions_is_clean(root: str) -> None:
    shutil.rmtree(storage.local_path(datafiles.table_uri(root, "predictions")))
    assert verify(root).findings == []


def test_a_root_on_s3_is_clean_until_a_file_is_cut(s3_root: str) -> None:
    tables.create_missing(s3_root)
    tables.append_rows(s3_root, "videos", [video("a", "ok")])
    tables.append_rows(s3_root, "features", slices("a"))
    name_champion(s3_root)
    assert verify(s3_root).findings == []
    file = next(datafiles.files("features", tables.open_table(s3_root, "features")))
    uri = storage.join(datafiles.table_uri(s3_root, "features"), file.path)
    storage.put(uri, storage.read_bytes(uri)[:-1])
    assert found(s3_root) == {"file_size": [uri.rsplit("/", 1)[-1]]}


IS_B = pc.field("video_id") == "b"
DAMAGE: dict[str, tuple[Callable[[str], object], dict[str, list[str]]]] = {
    "a video that was never extracted": (
        lambda root: tables.append_rows(root, "videos", [video("new", "ok")]),
        {"missing": ["new"]},
    ),
    "the vectors of a video vanish": (
        lambda root: drop(root, "features", pc.field("video_id") == "a"),
        {"missing": ["a"]},
    ),
    "a failure row vanishes": (
        lambda root: drop(root, "failures", pc.field("video_id") == "bad"),
        {"missing": ["bad"]},
    ),
    "a failed probe without its reason": (
        lambda root: drop(root, "failures", pc.field("video_id") == "no"),
        {"failed_without_reason": ["no"]},
    ),
    "the good slices of a damaged video vanish": (
        lambda root: drop(root, "features", pc.field("video_id") == "torn"),
        {"partial_missing": ["torn"]},
    ),
    "the first slice is dropped": (
        lambda root: drop(root, "features", IS_B & (pc.field("clip_index") == 0)),
        {"slice_missing": ["b"]},
    ),
    "a slice in the middle is dropped": (
        lambda root: drop(root, "features", IS_B & (pc.field("clip_index") == 1)),
        {"slice_missing": ["b"]},
    ),
    "a commit is applied twice": (
        lambda root: commit_unchecked(root, "features", slices("b")),
        {"clip_twice": ["b", "b", "b"]},
    ),
    "one slice is doubled on another date": (
        lambda root: commit_unchecked(root, "features", slices("b", 1, ds=DS + timedelta(days=1))),
        {"clip_twice": ["b"]},
    ),
    "two samplings under one model": (
        lambda root: tables.append_rows(root, "features", slices("b", sampling_digest="t", clip_id="other")[:1]),
        {"two_samplings": ["b"]},
    ),
    "vectors of another model under this version": (
        lambda root: [
            drop(root, "features", IS_B),
            tables.append_rows(root, "features", slices("b", model_digest="foreign")),
        ],
        {"other_model": ["b"]},
    ),
    "vectors of a video nobody cataloged": (
        lambda root: tables.append_rows(root, "features", slices("stranger")),
        {"never_cataloged": ["stranger"]},
    ),
    "vectors of a version nobody cataloged": (
        lambda root: tables.append_rows(root, "features", slices("a", version="9")),
        {"never_cataloged": ["a"]},
    ),
    "vectors and a later failure of the same run": (
        lambda root: tables.append_rows(root, "failures", [failure("a", error_class="timeout")]),
        {"done_and_failed": ["a"]},
    ),
    "vectors and a later failure of another run": (
        lambda root: tables.append_rows(root, "failures", [failure("a", run_key="of another model")]),
        {},
    ),
    "a prediction for each slice and the whole": (
        lambda root: tables.append_rows(root, "predictions", predictions("a")),
        {},
    ),
    "a slice has no prediction": (
        lambda root: tables.append_rows(root, "predictions", predictions("a", SLICES - 1)),
        {"prediction_differs": ["a"]},
    ),
    "the whole has no prediction": (
        lambda root: tables.append_rows(root, "predictions", predictions("a")[:-1]),
        {"prediction_differs": ["a"]},
    ),
    "predictions are committed twice": (
        lambda root: [commit_unchecked(root, "predictions", predictions("a")) for _ in range(2)],
        {"prediction_differs": ["a"]},
    ),
    "one prediction twice, another not at all": (
        lambda root: commit_unchecked(root, "predictions", [*predictions("a")[1:], predictions("a")[1]]),
        {"prediction_differs": ["a"]},
    ),
    "predictions of vectors that are gone": (
        lambda root: [
            drop(root, "features", pc.field("video_id") == "gone"),
            tables.append_rows(root, "predictions", predictions("gone")),
        ],
        {"prediction_differs": ["gone"]},
    ),
    "a version stands in the catalog twice": (
        lambda root: commit_unchecked(root, "videos", [video("b", "ok")]),
        {"version_twice": ["b"]},
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_is_wrong_with_the_keys_is_named(root: str, kind: str) -> None:
    plant, expected = DAMAGE[kind]
    plant(root)
    assert found(root) == expected


def test_upkeep_neither_heals_nor_hides_what_is_wrong(root: str) -> None:
    kinds = ("a video that was never extracted", "the first slice is dropped", "a commit is applied twice")
    for kind in kinds:
        DAMAGE[kind][0](root)
    before = found(root)
    list(maintenance.maintain(root, keep_hours=168, target_bytes=1 << 20))
    assert found(root) == before == {"missing": ["new"], "clip_twice": ["b", "b"]}


def one_row_fewer(path: Path) -> None:
    rows = pq.read_table(path)
    pq.write_table(rows.slice(1), path)


FILE_DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "deleted": (lambda path: path.unlink(), "file_gone"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "file_size"),
    "empty": (lambda path: path.write_bytes(b""), "file_size"),
    "longer": (lambda path: path.write_bytes(path.read_bytes() + b"x"), "file_size"),
    "one row fewer": (one_row_fewer, "file_size"),
    "zeroed": (lambda path: path.write_bytes(bytes(path.stat().st_size)), "file_unreadable"),
    "footer overwritten": (
        lambda path: path.write_bytes(path.read_bytes()[:-108] + b"\xff" * 100 + path.read_bytes()[-8:]),
        "file_unreadable",
    ),
}


@pytest.mark.parametrize("kind", FILE_DAMAGE)
def test_a_damaged_file_is_named_and_what_depends_on_it_is_not_judged(root: str, kind: str) -> None:
    hurt, law = FILE_DAMAGE[kind]
    path = path_of(root, "b")
    hurt(path)
    verdict = verify(root)
    assert [(finding.law, finding.count) for finding in verdict.findings] == [(law, 1)]
    assert verdict.findings[0].examples[0]["uri"] == storage.normalize(str(path))
    assert set(verdict.not_checked) == {law.name for law in LAWS if "features" in law.needs}


def test_a_file_with_fewer_rows_than_were_committed_is_named(root: str) -> None:
    commit_unchecked(root, "labels", [{**video("a", "ok"), "label": "x", "source": "s"}], num_rows=2)
    assert list(found(root)) == ["file_rows"]
    assert found(root, fast=True) == {}


@pytest.mark.parametrize("name", schema.TABLES)
def test_the_files_of_every_table_are_looked_at(root: str, name: str) -> None:
    run, segment = {"run_key": "k", "job": "j", "status": "succeeded"}, {"start_s": 0.0, "end_s": 1.0, "behaviour": "x"}
    segment |= {"kind": "supervised", "segmentation": "s", "segmentation_digest": "d", "model_version": "1"}
    row = {"labels": {"label": "x", "source": "s"}, "runs": run, "segments": {**segment, "run_key": "k", "ds": DS}}
    row["predictions"] = predictions("a")[-1]
    code = {"clip_id": "c", "start_s": 0.0, "end_s": 1.0, "cell": 0, "code": [127]}
    row["search_index"] = {**code, "model_version": "1", "index_key": "k", "shard": 0}
    if not tables.read(root, name).num_rows:
        tables.append_rows(root, name, [{**video("a", "ok"), **row.get(name, {})}])
    file = next(datafiles.files(name, tables.open_table(root, name)))
    (storage.local_path(datafiles.table_uri(root, name)) / file.path).unlink()
    assert list(found(root)) == ["file_gone"]


def test_fast_finds_sizes_and_says_where_to_look_when_a_file_cannot_be_read(root: str) -> None:
    path = path_of(root, "b")
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(SoraError, match="without --fast"):
        verify(root, fast=True)
    path.write_bytes(b"")
    assert list(found(root, fast=True)) == ["file_size"]


def test_every_law_is_broken_by_some_test() -> None:
    """A law that nothing can break would be no law."""
    broken = {law for _, laws in DAMAGE.values() for law in laws} | {law for _, law in FILE_DAMAGE.values()}
    assert broken | {"file_rows"} == {law.name for law in (*LAWS, *FILE_LAWS)}


def test_the_first_twenty_are_named_and_all_are_counted(root: str) -> None:
    tables.append_rows(root, "videos", [video(f"new{index:02}", "ok") for index in range(30)])
    (finding,) = verify(root).findings
    assert (finding.count, len(finding.examples)) == (30, 20)
    assert finding.examples[0]["uri"] == "file:///new00"


def test_another_model_has_its_own_verdict(root: str) -> None:
    storage.put(storage.join(root, "models", "8", "model.json"), b'{"digest": "e"}')
    assert found(root, model="8") == {"missing": ["a"], "partial_missing": ["torn"]}  # b failed once
    with pytest.raises(CheckpointError):
        verify(root, model="9")


def test_a_root_without_a_model_lacks_its_videos_and_no_more(root: str) -> None:
    storage.delete(storage.join(root, "models", "champion.json"))
    assert list(found(root)) == ["missing", "partial_missing"]


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        (None, 0, "whole"),
        ("a video that was never extracted", 10, "sora extract --root"),
        ("a commit is applied twice", 30, "sora rollback --root"),
    ],
)
def test_the_command_says_whether_a_person_is_needed(
    root: str, sora: Sora, kind: str | None, code: int, words: str
) -> None:
    if kind is not None:
        DAMAGE[kind][0](root)
    outcome = sora("verify", "--root", root)
    assert outcome.code == code
    assert words in outcome.out
    answer = sora("verify", "--root", root, "--json", "--fast")
    assert (answer.code, answer.json["is_damaged"]) == (code, code == 30)


def test_an_extraction_that_was_doubled_is_cured_as_it_says(root: str, sora: Sora) -> None:
    commit_unchecked(root, "features", slices("b", run_key="twice"))
    finding = sora("verify", "--root", root, "--json").json["findings"][0]
    assert "run twice" in finding["examples"][0]["detail"]
    assert sora("rollback", "--root", root, "--run", "twice").code == 0
    assert sora("verify", "--root", root).code == 0
