"""The tables for programs: the examples of the docstrings run, and the readers agree."""

import doctest
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pipeline
from pipeline import api, schema
from pipeline.errors import TableError
from tests.support.planted import Planted, planted_root

VECTORS = np.random.default_rng(0).normal(size=(2, 8))
TABLES = ("videos", "labels", "features", "failures", "runs")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A root named `sora-demo` in the working folder."""
    monkeypatch.chdir(tmp_path)
    labels = {"a.mp4": "golf", "b.mp4": "golf", "c.mp4": "wave"}
    return planted_root("sora-demo", {uri: Planted(VECTORS, label=label) for uri, label in labels.items()})


def test_the_examples_of_the_docstrings_run(root: str) -> None:
    found = doctest.testmod(api, optionflags=doctest.ELLIPSIS)
    assert found.attempted > 10
    assert found.failed == 0


@pytest.mark.parametrize("name", TABLES)
def test_arrow_polars_and_duckdb_read_the_same_rows(root: str, name: str) -> None:
    table = getattr(pipeline.open_root(root), name)
    rows = table.arrow()
    assert rows.column_names == schema.TABLES[name].names
    assert table.polars().collect().height == rows.num_rows
    assert table.duckdb().count("*").fetchall() == [(rows.num_rows,)]
    assert table.dataset().count_rows() == rows.num_rows


def test_vectors_are_the_same_through_every_reader(root: str) -> None:
    features = pipeline.open_root(root).features
    through = [
        features.arrow()["embedding"].to_pylist(),
        features.polars().collect()["embedding"].to_list(),
        [row[0] for row in features.duckdb().project("embedding").fetchall()],
    ]
    for vectors in through:
        assert sorted(vectors) == sorted(VECTORS.astype(np.float32).tolist() * 3)


def test_a_table_shows_what_was_written_since(root: str) -> None:
    opened = pipeline.open_root(root)
    before = opened.videos.arrow().num_rows
    planted_root(root, {"later.mp4": Planted(VECTORS)})
    assert opened.videos.arrow().num_rows == before + 1


def test_a_place_without_tables_is_no_root(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="sora catalog"):
        pipeline.open_root(str(tmp_path))


def test_importing_the_package_loads_nothing() -> None:
    """Every worker imports it."""
    heavy = ("duckdb", "pyarrow", "deltalake", "numpy")
    code = f"import sys, pipeline; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_the_package_does_not_have_is_named() -> None:
    assert "open_root" in dir(pipeline)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pipeline.nothing
