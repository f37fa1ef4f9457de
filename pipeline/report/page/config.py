"""What a report is of, and where it goes; a module of its own, so that a command line is parsed without torch."""

from dataclasses import dataclass

from pipeline import tracking
from pipeline.errors import ConfigError


@dataclass(frozen=True)
class ReportConfig:
    """Which root, which model, where the page goes."""

    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""
    output: str | None = None
    """The HTML file; left out: <root>/report.html."""
    model: str = tracking.CHAMPION
    """champion, a version number of the root, models:/NAME@ALIAS, or the URI of a checkpoint folder."""
    picture_seconds: float = 45.0
    """Seconds to decode pictures of videos in; what is not decoded by then is a grey tile."""

    def __post_init__(self) -> None:
        if not self.picture_seconds >= 0:
            got = self.picture_seconds
            raise ConfigError("A time is out of range.", where="--picture-seconds", got=got, expected="at least 0")
