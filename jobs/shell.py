"""What every job shares: the command line, exit codes, errors in words, the date, the answer on stdout."""

import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Generic, TypeVar

import tyro
import yaml

from jobs.console import Console
from jobs.watchdog import RETRYABLE, Watchdog
from pipeline import storage
from pipeline.errors import ConfigError, SoraError

ConfigT = TypeVar("ConfigT")
DONE, DONE_WITH_FAILURES = 0, 10
# The uv hook rewrites the workers' environment and has killed nodes (ray#50961). Read when ray is first imported.
_RAY_ENVIRONMENT = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anybody, and Ray Data starts one process fewer
    "RAY_task_oom_retries": "3",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # trials are told of in our own files, not in three of Ray's for each
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Ray Data's own actors make Ray's C++ layer print an error that is none (ray#53727) at every start.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}


@dataclass(frozen=True)
class Options:
    """What every job takes besides its own options."""

    date: str | None = None
    """Logical date of the run, YYYY-MM-DD; today in UTC when left out."""
    json: bool = False
    """Print the answer as one JSON object."""
    warn_failed_share: float = 0.1
    """Exit with 10 instead of 0 when more than this share of the videos handled failed, in [0, 1]."""

    stall_minutes: float = 30.0
    """Say what hangs and exit with 20 when nothing has made progress for so long; more for very long videos."""

    def __post_init__(self) -> None:
        if not self.stall_minutes > 0:
            got = self.stall_minutes
            raise ConfigError("A time is out of range.", where="--stall-minutes", got=got, expected="more than 0")
        if not 0 <= self.warn_failed_share <= 1:
            got = self.warn_failed_share
            raise ConfigError("A share is out of range.", where="--warn-failed-share", got=got, expected="[0, 1]")


@dataclass(frozen=True)
class Answer:
    """What a job has to say: for machines, for people, and as exit code."""

    fields: dict[str, Any]
    text: str
    code: int = DONE


@dataclass(frozen=True)
class Job(Generic[ConfigT]):
    """A parsed command: its configuration, and where its answer goes."""

    config: ConfigT
    options: Options
    console: Console

    @property
    def ds(self) -> date:
        """The logical date.

        Raises:
            ConfigError: --date is not a date.
        """
        if self.options.date is None:
            return datetime.now(UTC).date()
        try:
            return date.fromisoformat(self.options.date)
        except ValueError as e:
            raise ConfigError(
                "The date is not a date.", where="--date", got=self.options.date, expected="YYYY-MM-DD"
            ) from e

    def give(self, answer: Answer) -> int:
        """Print an answer, as JSON where that was asked for and in words otherwise; returns its exit code."""
        print(json.dumps(answer.fields, default=str) if self.options.json else answer.text, flush=True)
        return answer.code

    def exit_code(self, num_failed: int, num_handled: int) -> int:
        """0, or 10 when the share of failures is over the threshold."""
        is_bad = num_handled > 0 and num_failed / num_handled > self.options.warn_failed_share
        return DONE_WITH_FAILURES if is_bad else DONE


def main(
    name: str,
    description: str,
    config_type: type[ConfigT],
    run: Callable[[Job[ConfigT]], int],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse the command line, run the job, and turn errors into words and an exit code.

    Args:
        name: The job's name, as in `sora NAME`.
        description: Shown by --help.
        config_type: Frozen dataclass whose fields are the job's options.
        run: The job; returns an exit code.
        argv: Arguments; the process's own when None.
    """
    try:
        prepare()
        arguments = _with_yaml(list(sys.argv[1:] if argv is None else argv))
        parsed = _parse(name, description, config_type, arguments)
        watchdog = Watchdog(name, parsed[1].stall_minutes * 60)
        with watchdog.watching(), Console(name, watchdog) as console:
            return run(Job(parsed[0], parsed[1], console))
    except SoraError as e:
        print(f"sora {name}: {e}", file=sys.stderr)
        return e.exit_code
    except OSError as e:
        logging.getLogger(__name__).info("where it came from", exc_info=True)
        cure = "check that the store can be reached and has room, then run the same command again"
        print(f"sora {name}: The storage failed.\n  got: {type(e).__name__}: {e}\n  cure: {cure}", file=sys.stderr)
        return RETRYABLE
    except Exception as e:  # Ray's classes cannot be named here: importing it takes seconds
        if not _is_loss_of_ray(e):
            raise
        cure = "look at the cluster, then run the same command again; what is committed is not done twice"
        got = (str(e).strip() or "nothing more is known").splitlines()[0]
        print(f"sora {name}: Ray lost the work.\n  got: {type(e).__name__}: {got}\n  cure: {cure}", file=sys.stderr)
        return RETRYABLE
    except KeyboardInterrupt:
        print(f"sora {name}: stopped; what is committed stays, the rest is done by the next run", file=sys.stderr)
        return RETRYABLE


def _is_loss_of_ray(error: Exception) -> bool:
    """Whether nodes, workers or Ray itself died; an error of our own code inside a task is none of these."""
    ray = sys.modules.get("ray")
    return (
        ray is not None
        and isinstance(error, ray.exceptions.RayError)
        and not isinstance(error, ray.exceptions.RayTaskError)
        and not getattr(error, "actor_init_failed", False)
    )


def prepare() -> None:
    """Set what Ray reads when it is first imported, and where logs go."""
    for variable, value in _RAY_ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    level = os.environ.get("SORA_LOG_LEVEL", "WARNING").upper()
    if level not in logging.getLevelNamesMapping():
        expected = "DEBUG, INFO, WARNING, ERROR or CRITICAL"
        raise ConfigError("The log level is unknown.", where="SORA_LOG_LEVEL", got=level, expected=expected)
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)


def _parse(name: str, description: str, config_type: type[ConfigT], arguments: list[str]) -> tuple[ConfigT, Options]:
    def options(
        config: Annotated[config_type, tyro.conf.arg(name="")],  # type: ignore[valid-type]
        common: Annotated[Options, tyro.conf.arg(name="")],
    ) -> Any:
        return config, common

    markers = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
    description += "\n\nAny option can also stand in a YAML file: --options FILE.yaml."
    return tyro.cli(options, prog=f"sora {name}", description=description, args=arguments, config=markers)


def _with_yaml(arguments: list[str]) -> list[str]:
    """Replace `--options FILE.yaml` by the flags in the file; flags of the command line come later and win."""
    if "--options" not in arguments:
        return arguments
    index = arguments.index("--options")
    path = arguments[index + 1] if index + 1 < len(arguments) else ""
    try:
        options = yaml.safe_load(storage.read_bytes(storage.normalize(path)))
    except (OSError, yaml.YAMLError) as e:
        raise ConfigError("The options file cannot be read.", where=f"--options {path}", got=e) from e
    if not isinstance(options, dict):
        raise ConfigError("The options file is not a mapping.", where=path, got=options, expected="option: value lines")
    flags = [part for option, value in options.items() for part in _flag(str(option), value)]
    return flags + arguments[:index] + arguments[index + 2 :]


def _flag(option: str, value: object) -> list[str]:
    flag = "--" + option.replace("_", "-")
    if isinstance(value, bool):
        return [flag] if value else []
    return [flag, *(str(part) for part in value)] if isinstance(value, list) else [flag, str(value)]
