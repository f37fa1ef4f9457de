"""Every job runs with `ray job submit` on a cluster that asks for a token, and on no cluster without it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.corpus.synthetic import render_corpus
from tests.cluster.ray_head import RayHead

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def head() -> Iterator[RayHead]:
    with RayHead(num_cpus=2) as running:
        yield running


TRAINING = ["--epochs", "1", "--num-workers", "2", "--batch-size", "4"]
SPLIT = ["--validation-fraction", "0.4", "--group-column", "-"]
SAMPLING = ["--frames-per-clip", "8", "--sample-fps", "8", "--size-px", "32"]


def test_every_job_runs_when_it_is_submitted(head: RayHead, tmp_path: Path) -> None:
    corpus = render_corpus(tmp_path / "corpus", num_clips=12, duration_s=(0.4, 0.6)).parent
    root = tmp_path / "root"
    jobs = {
        "catalog": [str(corpus), "--labels", str(corpus / "labels.csv")],
        "train": [*TRAINING, *SPLIT, *SAMPLING],
        "extract": [],
        "nightly": [str(corpus), "--date", "2026-01-02"],
    }
    for name, arguments in jobs.items():
        job = head.submit(
            *["python", "-m", f"jobs.{name}", *arguments, "--root", str(root)], working_dir=REPOSITORY, env=head.env
        )
        assert job.returncode == 0, job.stdout + job.stderr
        assert "succeeded" in job.stdout, "the job's final status is SUCCEEDED"
    status = subprocess.run(
        [sys.executable, "-m", "jobs.status", "--root", str(root), "--json"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(status.stdout)
    assert sum(found["videos"].values()) == found["done"] == 12
    assert (found["labels"], found["distinct_labels"], found["missing"]) == (12, 6, 0)


def test_a_job_that_fails_fails_the_submit(head: RayHead, tmp_path: Path) -> None:
    job = head.submit("python", "-c", "raise SystemExit(3)", working_dir=tmp_path, env=head.env)
    assert job.returncode != 0
    assert "FAILED" in job.stdout or "failed" in job.stdout


@pytest.mark.parametrize("token", [None, "0" * 64, ""], ids=["no token", "wrong token", "empty token"])
def test_the_cluster_answers_nobody_without_the_token(head: RayHead, token: str | None) -> None:
    assert head.request("/api/jobs/", head.token) == 200
    assert head.request("/api/jobs/", token) in (401, 403)


@pytest.mark.parametrize("mode", ["disabled", "token"])
def test_submitting_without_the_token_is_refused_and_runs_nothing(head: RayHead, tmp_path: Path, mode: str) -> None:
    proof = tmp_path / "it-ran"
    # HOME elsewhere: Ray also looks for a token in ~/.ray/auth_token, and a developer may have one.
    env = {name: value for name, value in head.env.items() if name != "RAY_AUTH_TOKEN"}
    job = head.submit(
        "touch", str(proof), working_dir=tmp_path, env=env | {"RAY_AUTH_MODE": mode, "HOME": str(tmp_path)}
    )
    assert job.returncode != 0
    assert "token" in (job.stdout + job.stderr).lower()
    assert not proof.exists()


def test_leaving_the_head_leaves_no_process_and_no_folder() -> None:
    with RayHead(num_cpus=1) as short_lived:
        assert short_lived.pids()
    assert short_lived.pids() == []
    assert not short_lived.folder.exists()
