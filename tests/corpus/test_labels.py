"""Labels: a CSV is read whole or refused with the line that is wrong."""

from pathlib import Path

import pytest

from pipeline import tables
from pipeline.corpus import labels
from pipeline.corpus.labels import Label
from pipeline.errors import ConfigError

CORPUS = "file:///corpus"


def test_further_columns_become_attributes_and_intervals_are_read(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("path,label,start_s,end_s,who\na/x.mp4,run,,,ann\n/else/y.mp4,fall,1.5,2,\n", encoding="utf-8-sig")
    assert labels.read_csv(str(path), corpus=CORPUS) == [
        Label("file:///corpus/a/x.mp4", "run", None, None, {"who": "ann"}),
        Label("file:///else/y.mp4", "fall", 1.5, 2.0, {"who": ""}),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,label\nx,y\n", "path"),
        ("", "path"),
        ("path,label\n,run\n", "line 2"),
        ("path,label,start_s,end_s\nx,run,3,2\n", "start_s < end_s"),
        ("path,label,start_s,end_s\nx,run,one,2\n", "not a number"),
    ],
)
def test_a_wrong_csv_is_refused_with_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        labels.read_csv(str(path), corpus=CORPUS)


def test_the_label_of_a_folder_is_the_first_below_the_corpus() -> None:
    uris = [f"{CORPUS}/run/a.mp4", f"{CORPUS}/walk/deep/b.mp4", f"{CORPUS}/c.mp4"]
    found = labels.from_folders(uris, corpus=CORPUS)
    assert [(label.uri, label.label) for label in found] == [(uris[0], "run"), (uris[1], "walk")]


def test_committing_the_same_labels_again_changes_nothing_and_others_replace_them(tmp_path: Path) -> None:
    root = str(tmp_path)
    tables.create_missing(root)
    mine = [Label(f"{CORPUS}/a.mp4", "run", attributes={"b": "2", "a": "1"})]
    labels.commit(root, [Label(f"{CORPUS}/z.mp4", "other")], source="other")
    labels.commit(root, mine, source="it's")
    version = tables.open_table(root, "labels").version()
    labels.commit(root, mine, source="it's")
    assert tables.open_table(root, "labels").version() == version
    labels.commit(root, [Label(f"{CORPUS}/a.mp4", "walk")], source="it's")
    rows = tables.read(root, "labels", ["label", "source"]).sort_by("label").to_pylist()
    assert rows == [{"label": "other", "source": "other"}, {"label": "walk", "source": "it's"}]
