"""What several tests of training share."""

from pathlib import Path

import pytest

from pipeline.corpus.synthetic import render_corpus


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 12 rendered videos of about a second, and their `labels.csv`."""
    return render_corpus(tmp_path_factory.mktemp("rendered"), num_clips=12, duration_s=(1.0, 1.2)).parent
