"""What tests of uses share: a planted root with a trained head, made once; a module may have a `root` of its own."""

import shutil
from pathlib import Path

import pytest

from jobs import cli
from pipeline import storage
from tests.support.labelled import NOISE, NUM, labelled_root

NOBODY = "http://127.0.0.1:9"  # MLflow's own tests have a server; here its spool says what it would be told


@pytest.fixture
def no_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """What MLflow would be told is kept under the root."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOBODY)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A root with head main/1, trained on split1; `root` is a copy of it that may be changed."""
    place = labelled_root(tmp_path_factory.mktemp("classify"), NUM, noise=NOISE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", NOBODY)
        assert cli.main(["classify", "train", "--root", place, "--split-column", "split1"]) == 0
    return place


@pytest.fixture
def root(trained: str, tmp_path: Path) -> str:
    """A copy of the trained root."""
    copy = tmp_path / "copy"
    shutil.copytree(storage.local_path(trained), copy)
    return storage.normalize(str(copy))
