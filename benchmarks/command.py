"""The command line of benchmarks beside others: --rounds, --quick, --json in; the figures and what they miss out."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

ROUNDS = 5


def parse(
    argv: Sequence[str] | None, *, name: str, doc: str | None, quick_rounds: int, quick: str
) -> argparse.Namespace:
    """The options, with the number of rounds settled.

    Args:
        argv: The words of the command line; None: those of this process.
        name: Of the benchmark's folder.
        doc: Of its module; the first line says what it does.
        quick_rounds: Rounds with --quick, unless told.
        quick: What --quick leaves out, for --help.
    """
    parser = argparse.ArgumentParser(f"python -m benchmarks.{name}", description=(doc or "").splitlines()[0])
    parser.add_argument(
        "--rounds", type=int, help=f"turns of every contender: {ROUNDS}, or {quick_rounds} with --quick"
    )
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--json", action="store_true", help="print one JSON line; all else goes to stderr")
    arguments = parser.parse_args(argv)
    arguments.rounds = arguments.rounds or (quick_rounds if arguments.quick else ROUNDS)
    return arguments


def give(answer: Mapping[str, Any], missed: Sequence[str], *, as_json: bool) -> int:
    """Print the figures and what they miss; 1 where they miss anything."""
    print(json.dumps(answer) if as_json else "\n".join(f"{name}: {value}" for name, value in answer.items()))
    for figure in missed:
        print(f"missed: {figure}", file=sys.stderr)
    return int(bool(missed))
