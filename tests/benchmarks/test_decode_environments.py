"""Environments of other tools: made once, whole or not at all."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.environments import python_of
from pipeline.errors import SoraError

WANTED = ["torch==2.13.0", "decord==0.6.0"]


class Installer:
    """Stands for venv and pip: makes the files of an environment, and ends as it is told to."""

    def __init__(self, *, code: int = 0, cut_off: bool = False):
        self.commands: list[list[str]] = []
        self._code, self._cut_off = code, cut_off

    def __call__(self, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        self.commands.append(list(command))
        if "venv" in command:
            (Path(command[-1]) / "bin").mkdir(parents=True)
            (Path(command[-1]) / "bin" / "python").touch()
            return subprocess.CompletedProcess(command, 0, "", "")
        if self._cut_off:
            raise KeyboardInterrupt
        return subprocess.CompletedProcess(command, self._code, "", "no matching distribution")


def test_an_environment_is_made_once_with_exactly_its_requirements(tmp_path: Path) -> None:
    installer = Installer()
    python = python_of("peer", WANTED, folder=tmp_path, run=installer)
    assert python.exists()
    assert python == python_of("peer", WANTED, folder=tmp_path, run=installer)
    (venv, pip) = installer.commands
    assert venv[1:3] == ["-m", "venv"]
    assert pip[1:] == ["-m", "pip", "install", "--quiet", *WANTED]
    assert [path.name for path in tmp_path.iterdir()] == [python.parents[1].name]


@pytest.mark.parametrize("other", [["torch==2.13.0"], ["torch==2.13.0", "decord==0.5.2"]])
def test_other_requirements_are_another_environment(tmp_path: Path, other: list[str]) -> None:
    pythons = {python_of("peer", wanted, folder=tmp_path, run=Installer()) for wanted in (WANTED, other)}
    assert len(pythons) == 2


def test_a_failed_install_is_an_error_with_its_cure_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SoraError, match="environment of peer") as caught:
        python_of("peer", WANTED, folder=tmp_path, run=Installer(code=1))
    assert "no matching distribution" in str(caught.value.got)
    assert "decord==0.6.0" in str(caught.value.expected)
    assert caught.value.cure
    assert list(tmp_path.iterdir()) == []
    assert python_of("peer", WANTED, folder=tmp_path, run=Installer()).exists()


def test_a_cut_off_install_is_not_taken_for_whole(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        python_of("peer", WANTED, folder=tmp_path, run=Installer(cut_off=True))
    installer = Installer()
    python_of("peer", WANTED, folder=tmp_path, run=installer)
    assert len(installer.commands) == 2, "it was installed again"


def test_until_pip_has_ended_nothing_has_the_environments_name(tmp_path: Path) -> None:
    home = python_of("peer", WANTED, folder=tmp_path / "first", run=Installer()).parents[1].name
    seen: list[bool] = []

    def watched(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        ended = Installer()(command)
        seen.append((tmp_path / "second" / home).exists())
        return ended

    assert python_of("peer", WANTED, folder=tmp_path / "second", run=watched).exists()
    assert seen == [False, False], "a process killed here would leave an environment that looks whole"
