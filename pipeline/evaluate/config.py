"""What to judge, on which splits, beside which controls."""

from dataclasses import dataclass

from pipeline.errors import ConfigError

TABLE_CONTROLS = ("reconstruction_only", "r3d18")  # always in the answer, null where not given
COMPUTED_CONTROLS = ("random_init", "pca64", "pca64_diff", "pca64_descriptor")


@dataclass(frozen=True)
class EvaluateConfig:
    """Which root, which model, how to judge it."""

    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""
    model: str = "champion"
    """champion, a version number of the root, models:/NAME@ALIAS, or the URI of a checkpoint folder."""
    group_column: str = "source_group"
    """Label attribute that names a video's source. The probe's strength is chosen on whole sources of the training
    videos, and intervals draw whole sources. Videos without it are sources of their own."""
    split_columns: str | None = None
    """Label attributes, with commas between, whose value is `train` or `test`; left out: all named split*."""
    seeds: int = 3
    """Draws of the probe's validation sources, and of the weights of the control random_init."""
    control: str | None = None
    """Further models whose vectors the table has, NAME=VERSION with commas between: reconstruction_only=3,r3d18=4."""
    max_clips: int = 512
    """Clips of test videos at most on which reconstructions are measured."""
    output: str | None = None
    """Folder for the files; left out: <root>/evaluations/<model_version>, where `sora promote` looks."""

    def __post_init__(self) -> None:
        for name in ("seeds", "max_clips"):
            if getattr(self, name) < 1:
                option = f"--{name.replace('_', '-')}"
                got = getattr(self, name)
                raise ConfigError("A number is out of range.", where=option, got=got, expected="at least 1")
        self.controls()

    def controls(self) -> dict[str, str]:
        """Version of each further model, by the name of the control."""
        found: dict[str, str] = {}
        for part in _parts(self.control):
            name, separator, version = (text.strip() for text in part.partition("="))
            if not (separator and name.isidentifier() and version):
                expected = "NAME=VERSION,NAME=VERSION..."
                raise ConfigError("That is no control.", where="--control", got=part, expected=expected)
            if name in COMPUTED_CONTROLS or name in found:
                raise ConfigError("The name of a control is taken.", where="--control", got=name)
            found[name] = version
        return found

    def splits(self, known: list[str]) -> list[str]:
        """The split columns to judge on, out of the attributes that there are.

        Raises:
            ConfigError: a named one is not there, or none was named and none is there.
        """
        wanted = _parts(self.split_columns)
        chosen = wanted or sorted(name for name in known if name.startswith("split"))
        missing = [name for name in chosen if name not in known]
        if missing or not chosen:
            cure = "add a column such as split1, with train or test in each line, to the CSV of `sora catalog --labels`"
            what = "No label has the split column."
            raise ConfigError(what, where="--split-columns", got=missing or "none", expected=known, cure=cure)
        return chosen


def _parts(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]
