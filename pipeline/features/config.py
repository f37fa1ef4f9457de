"""What to extract."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ExtractConfig:
    """Which root, which model, what to take again."""

    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""
    model: str = "champion"
    """champion, a version number of the root, models:/NAME@ALIAS, or the URI of a checkpoint folder."""
    retry_failed: bool = False
    """Take videos again whose decoding failed before."""
