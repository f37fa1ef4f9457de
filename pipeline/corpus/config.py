"""What to catalog."""

from dataclasses import dataclass

from tyro.conf import Positional


@dataclass(frozen=True)
class CatalogConfig:
    """What to catalog, and where the labels come from."""

    corpus: Positional[str]
    """Folder or bucket prefix with videos: a path, file:// or s3:// URI; listed recursively."""
    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""
    labels: str | None = None
    """CSV with path,label[,start_s,end_s]; paths relative to the corpus; further columns are kept as attributes."""
    labels_from_folders: bool = False
    """Take the first folder below the corpus as the label of each video in it."""
    retry_failed: bool = False
    """Probe unchanged objects again whose probe failed; with --preview, also what failed there."""
    preview: bool = False
    """Take a first look at every video that lacks one: reads it in full, decodes five pictures; see the glossary."""
