"""Every bad input is one clear message and exit code 2, and nothing is half-written."""

from pathlib import Path

import pytest
from s3fs import S3FileSystem

from pipeline import tables
from pipeline.model.config import sora_xs
from tests.support.sora import Sora


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"\x00\x00\x00\x18ftypisom")
    return folder


CASES = [
    (["catalog", "{tmp}/nowhere", "--root", "{root}"], ["no such folder", "{tmp}/nowhere"]),
    (["catalog", "{tmp}/empty", "--root", "{root}"], ["empty", "{tmp}/empty"]),
    (["catalog", "{corpus}", "--root", "http://host/x"], ["scheme", "s3://"]),
    (["catalog", "{corpus}", "--root", "{tmp}/file/root"], ["cannot be written", "{tmp}/file/root"]),
    (["catalog", "{corpus}", "--root", "{root}", "--labels", "{tmp}/none.csv"], ["labels cannot be read"]),
    (["catalog", "{corpus}", "--root", "{root}", "--labels", "{tmp}/file"], ["lack", "path"]),
    (["catalog", "{corpus}", "--root", "{root}", "--date", "yesterday"], ["YYYY-MM-DD", "yesterday"]),
    (["catalog", "{corpus}"], ["--root"]),
    (["train", "--root", "{root}"], ["no table", "sora catalog"]),
    (["train", "--root", "{root}", "--config", "sora_xxl"], ["sora_xxl", "sora_xs"]),
    (["train", "--root", "{root}", "--epochs", "0"], ["epochs", "0"]),
    (["train", "--root", "{root}", "--size-px", "13"], ["size_px", "13"]),
    (["extract", "--root", "{root}"], ["no table", "sora catalog"]),
    (["extract", "--root", "{tables}"], ["leads nowhere", "sora train"]),
    (["extract", "--root", "{tables}", "--model", "7"], ["leads nowhere", "7"]),
    (["extract", "--root", "{tables}", "--model", "{tmp}/empty"], ["leads nowhere", "{tmp}/empty"]),
    (["extract", "--root", "{tables}", "--model", "models:/none@champion"], ["models:/none@champion"]),
    (["nightly", "{corpus}", "--root", "{root}"], ["leads nowhere", "sora train"]),
    (["status", "--root", "{root}"], ["no table"]),
    (["sql", "--root", "{root}", "SELECT 1"], ["no table"]),
    (["sql", "--root", "{tables}", "SELEC 1"], ["syntax error"]),
    (["sql", "--root", "{tables}", "SELECT nothing FROM videos"], ["nothing"]),
    (["train", "--root", "{tables}"], ["no video to learn from"]),
    (["status", "--root", "{tables}", "--options", "{tmp}/none.yaml"], ["options file"]),
    (["no-such-command"], ["no command"]),
]


@pytest.mark.parametrize(("arguments", "said"), CASES, ids=lambda value: " ".join(value)[:70])
def test_bad_input_is_one_clear_message(
    arguments: list[str], said: list[str], tmp_path: Path, corpus: Path, sora: Sora
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("a,b\n")
    tables.create_missing(f"file://{tmp_path / 'tables'}")
    names = {"tmp": tmp_path, "corpus": corpus, "root": tmp_path / "root", "tables": tmp_path / "tables"}
    outcome = sora(*(argument.format(**names) for argument in arguments))
    assert outcome.code == 2, outcome
    for part in said:
        assert part.format(**names) in outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "root").exists(), "nothing half-written"


@pytest.mark.parametrize("command", ["status --root {root}", "catalog s3://bucket/videos --root {root}"])
def test_a_store_that_is_away_is_worth_another_try(command: str, monkeypatch: pytest.MonkeyPatch, sora: Sora) -> None:
    settings = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()
    outcome = sora(*command.format(root="s3://bucket/root").split())
    S3FileSystem.clear_instance_cache()
    assert outcome.code == 20, outcome
    assert "127.0.0.1:9" in outcome.err
    assert "cure" in outcome.err
    assert "Traceback" not in outcome.err


def test_options_come_from_yaml_and_the_command_line_wins(tmp_path: Path, sora: Sora) -> None:
    tables.create_missing(f"file://{tmp_path}")
    options = tmp_path / "options.yaml"
    options.write_text(f"root: {tmp_path}/elsewhere\njson: true\n")
    outcome = sora("status", "--options", options, "--root", tmp_path)
    assert outcome.code == 0, outcome.err
    assert outcome.json["videos"] == {}


def test_the_options_of_every_command_are_explained(sora: Sora) -> None:
    outcome = sora("train", "--help")
    assert outcome.code == 0
    assert sora_xs().name in outcome.out
