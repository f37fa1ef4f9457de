"""Run a command of ours in this process and give back what a shell would see."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from jobs import cli


@dataclass(frozen=True)
class Outcome:
    """Exit code, stdout and stderr of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The answer of a command that was given --json."""
        return json.loads(self.out.strip().splitlines()[-1])


class Sora:
    """`sora(...)` runs `sora ...`."""

    def __init__(self, capsys: pytest.CaptureFixture[str]):
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Outcome:
        self._capsys.readouterr()
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as e:  # the parser's own way out
            code = int(e.code or 0)
        captured = self._capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    def sql(self, root: object, query: str) -> list[tuple[Any, ...]]:
        """Rows of a query through `sora sql --json`."""
        outcome = self("sql", "--root", root, "--json", query)
        assert outcome.code == 0, outcome.err
        return [tuple(json.loads(line).values()) for line in outcome.out.strip().splitlines()]
