"""The fuzz itself: its mutations, its counters, which must be able to count, and sixty files through the sandbox."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import BinaryIO

import pytest

from benchmarks.fuzz.addresses import with_external_data
from benchmarks.fuzz.corpus import Corpus, Source, load_corpus
from benchmarks.fuzz.lengths import length_fields
from benchmarks.fuzz.mutations import MUTATIONS, PLAIN_EVERY, Case, case
from benchmarks.fuzz.proof import fuzz, main, missed
from benchmarks.fuzz.summary import summary
from benchmarks.fuzz.worker import LIMITS, Result, clips_digest, examine
from pipeline.decode.records import VideoInfo
from pipeline.decode.sandbox import Sandbox
from tests.support.shared import PROJECT_ROOT
from tests.support.videos import encode_video

SMALL = encode_video(8)
TOY = Corpus(
    plain=(Source("whole", b"as it is"),),
    sources=(Source("a", bytes(range(256)) * 4), Source("b", b"\0\1" * 99)),
    controls=(),
)
GOLDEN = [
    "0: whole, as it is, 8 bytes",
    "1: b, flip 469 bits of the first 198 bytes + fourcc none there; flip_header 38 bits of the first 198 bytes, "
    "198 bytes",
    "2: b, address ffconcat instead, to ftp://[2001:db8::1]:80/a.ts, 102 bytes",
    "3: a, delete 218..249, 993 bytes",
    "4: b, flip_header 3 bits of the first 198 bytes, 198 bytes",
    "5: b, integer of 2 bytes at 191 to 0xffff, big, 198 bytes",
]


@pytest.mark.parametrize(("index", "words"), list(enumerate(GOLDEN)))
def test_a_case_is_a_pure_function_of_corpus_seed_and_index(index: int, words: str) -> None:
    assert str(case(TOY, seed=0, index=index)) == words
    assert case(TOY, seed=0, index=index) == case(TOY, seed=0, index=index)


def test_other_seeds_and_indices_are_other_files() -> None:
    files = {case(TOY, seed=seed, index=index).data for seed in range(5) for index in range(1, 101)}
    assert len(files) > 450


@pytest.mark.shared_videos
def test_the_cases_cover_every_whole_file_and_every_mutation() -> None:
    corpus = load_corpus()
    assert corpus == load_corpus()
    assert len(corpus.plain) == 155
    cases = [case(corpus, seed=1, index=index) for index in range(PLAIN_EVERY * len(corpus.plain))]
    assert {one.source for one in cases if not one.steps} == {source.name for source in corpus.plain}
    assert {step.split()[0] for one in cases for step in one.steps} == {*MUTATIONS, "address"}


@pytest.mark.parametrize(("container", "codec"), [("mp4", "libx264"), ("matroska", "libx264"), ("avi", "mpeg4")])
def test_length_fields_are_where_the_lengths_are(container: str, codec: str) -> None:
    data = encode_video(8, container=container, codec=codec)
    fields = length_fields(data)
    assert len(fields) > 20
    for field in fields:
        assert field.written(data, field.read(data)) == data
        assert field.read(field.written(data, 1)) == 1
        assert len(field.written(data, 1 << 64)) == len(data)


def test_external_media_is_a_sound_mp4_with_its_media_elsewhere() -> None:
    for seed in range(4):
        changed = with_external_data(Random(seed), SMALL, "/etc/passwd")
        assert changed is not None
        assert b"passwd" in changed
        assert int.from_bytes(changed[:4], "big") == int.from_bytes(SMALL[:4], "big")
    assert with_external_data(Random(0), b"RIFF" + SMALL, "/etc/passwd") is None


@pytest.mark.shared_videos
def test_sixty_files_are_all_classified(tmp_path: Path) -> None:
    answer = fuzz(tmp_path, num_files=60, seed=2)
    assert missed(answer) == []
    assert (answer["files"], answer["classified"], answer["good_videos"]) == (60, 60, 4)
    assert answer["outbound_connections"] == 0, answer["outbound_not_counted_because"]
    assert len(answer["by_class"]) >= 3
    assert len((tmp_path / "fuzz.jsonl").read_text().splitlines()) == 60


@pytest.mark.shared_videos
def test_one_file_can_be_repeated_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = tmp_path / "1.bin"
    assert main(["--only-index", "1", "--write", str(written)]) == 0
    expected = case(load_corpus(), seed=0, index=1)
    assert written.read_bytes() == expected.data
    assert str(expected) in capsys.readouterr().out


class Leaky(Sandbox):
    """A sandbox with a fault of its own: the files it is told of get past it."""

    def probe(self, source: BinaryIO) -> VideoInfo:
        if source.read() == b"poison":
            raise ValueError("an error nobody classified")
        return super().probe(source)


def test_an_error_that_escapes_is_counted() -> None:
    with Leaky(LIMITS) as sandbox:
        poisoned = examine(sandbox, Case(7, "a", (), b"poison"))
        results = [examine(sandbox, Case(6, "a", (), SMALL)), poisoned, examine(sandbox, Case(8, "a", (), b"junk"))]
    assert [result.ending for result in results] == ["clips", "escaped", "open_failed"]
    answer = summary([results], None)
    assert (answer["files"], answer["classified"], answer["parent_crashes"]) == (3, 2, 1)
    assert answer["failing"][0]["index"] == 7
    assert "an error nobody classified" in answer["failing"][0]["detail"]


def test_hangs_deaths_lost_videos_and_growth_are_counted() -> None:
    calm = [Result(index, ending="clips", rss_bytes=10_000, child_pid=1 + index // 25) for index in range(50)]
    assert summary([calm], None)["parent_rss_growth_bytes"] == 0
    assert summary([calm], None)["child_restarts"] == 1
    bad = [replace(result, rss_bytes=10_000 + 100 * result.index) for result in calm]
    bad[3].clips_s = LIMITS.wall_s + 3
    bad[4].ending, bad[5].ending, bad[6].lost_controls = "hang", "died", ["whole"]
    answer = {**summary([bad, calm], "refused"), "outbound_without_confinement": None}
    assert (answer["hangs"], answer["parent_crashes"], answer["classified"]) == (2, 1, 98)
    assert (answer["good_videos_lost"], answer["outbound_connections"]) == (1, None)
    assert answer["parent_rss_growth_bytes"] == pytest.approx(3600, abs=200)
    assert answer["parent_rss_bytes_per_file"] == 100.0
    assert len(missed(answer)) == 4


def test_a_good_video_that_comes_out_otherwise_is_seen() -> None:
    with Sandbox(LIMITS) as sandbox:
        digest = clips_digest(sandbox, Source("a", SMALL))
        assert digest == clips_digest(sandbox, Source("a", SMALL))
        assert digest != clips_digest(sandbox, Source("a", encode_video(9)))
        assert clips_digest(sandbox, Source("a", b"junk")).startswith("open_failed")


COUNT = """
from benchmarks.fuzz.network import enter_own_network, num_attempts, try_to_leave
from benchmarks.fuzz.openly import attempts_of, careless, guarded
from benchmarks.fuzz.mutations import Case
enter_own_network()
quiet = num_attempts()
silence = num_attempts() - quiet
try_to_leave()
playlist = Case(0, "", (), b"ffconcat version 1.0\\nfile 'http://192.0.2.1:80/a.ts'\\n", "ffconcat")
deliberate = num_attempts() - quiet
print(silence, deliberate, *attempts_of(careless, playlist, max_s=9), *attempts_of(guarded, playlist, max_s=9))
"""


def test_every_attempt_to_leave_is_counted_and_the_whitelists_make_none() -> None:
    command = [sys.executable, "-c", COUNT]
    env = {"OPENBLAS_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    counted = subprocess.run(command, cwd=PROJECT_ROOT, env=env, stdout=subprocess.PIPE, check=True, text=True).stdout
    silence, deliberate, tried, _, guarded, code = map(int, counted.split())
    assert (silence, guarded, code) == (0, 0, 0)
    assert deliberate >= 1
    assert tried >= 1
