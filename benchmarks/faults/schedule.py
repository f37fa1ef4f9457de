"""What goes wrong, when: a pure function of a seed.

seed --> Schedule(kind, rounds); a round is one run of `sora extract` (or several at once) and the faults during it.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from pipeline.crashpoints import POINTS

Kind = Literal["crash", "driver", "workers", "nodes", "race", "s3_restart", "s3_faults"]
KINDS: tuple[Kind, ...] = get_args(Kind)
S3_KINDS: frozenset[Kind] = frozenset({"s3_restart", "s3_faults"})
Action = Literal["kill_driver", "kill_worker", "kill_decoder", "kill_node", "restart_s3"]
NUM_KILLS = 12  # planned in every schedule, so that at least ten meet something alive
NUM_RACERS = 8


@dataclass(frozen=True)
class Fault:
    """Something that is done to a run.

    after_s: since the first worker was there.
    down_s: how long the killed S3 server or node stays away.
    """

    action: Action
    after_s: float
    down_s: float = 0.0


@dataclass(frozen=True)
class FaultRates:
    """How often the proxy before S3 does what, as shares of the requests in [0, 1]."""

    slow_down: float = 0.0  # 503, the request is not applied
    reset: float = 0.0  # the connection is reset, the request is not applied
    lost: float = 0.0  # the request is applied, then the connection is reset
    cut: float = 0.0  # the answer's body ends early
    stall: float = 0.0  # the request waits before it is applied
    stall_s: float = 0.0


@dataclass(frozen=True)
class Round:
    """One run of `sora extract`, or several at once on the same root; faults that come too late go to the next."""

    num_drivers: int = 1
    crash_at: str | None = None
    faults: tuple[Fault, ...] = ()
    rates: FaultRates | None = None


@dataclass(frozen=True)
class Schedule:
    """Rounds played one after the other; more without planned faults then finish the work."""

    seed: int
    kind: Kind
    rounds: tuple[Round, ...]

    def __str__(self) -> str:
        return "\n".join([f"seed {self.seed}: {self.kind}", *(f"  {_in_words(played)}" for played in self.rounds)])


def schedule(seed: int, only: Kind | None = None) -> Schedule:
    """The schedule of a seed.

    Args:
        seed: At least 0; consecutive seeds go through all kinds, and through all crash points.
        only: Makes every seed one of this kind.
    """
    kind = only or KINDS[seed % len(KINDS)]
    nth = seed if only else seed // len(KINDS)  # of its kind
    return Schedule(seed, kind, _ROUNDS[kind](random.Random(seed), nth))


def _crash(rng: random.Random, nth: int) -> tuple[Round, ...]:
    """Every point comes first in turn; the resumed run crashes too, at a point drawn."""
    points = POINTS[nth % len(POINTS)], rng.choice(POINTS)
    return tuple(Round(crash_at=point, faults=_kills(rng, (NUM_KILLS - 2) // 2)) for point in points)


def _driver(rng: random.Random, nth: int) -> tuple[Round, ...]:
    num_rounds = rng.randint(2, 3)
    kills = [_kills(rng, (NUM_KILLS - num_rounds) // num_rounds + 1) for _ in range(num_rounds)]
    return tuple(Round(faults=(Fault("kill_driver", _time(rng, 0.0, 8.0)), *some)) for some in kills)


def _workers(rng: random.Random, nth: int) -> tuple[Round, ...]:
    return (Round(faults=_kills(rng, NUM_KILLS)),)


def _nodes(rng: random.Random, nth: int) -> tuple[Round, ...]:
    nodes = [Fault("kill_node", _time(rng, 0.0, 8.0), _time(rng, 0.0, 3.0)) for _ in range(rng.randint(2, 3))]
    return (Round(faults=_in_order(nodes, _kills(rng, NUM_KILLS - len(nodes)))),)


def _race(rng: random.Random, nth: int) -> tuple[Round, ...]:
    drivers = [Fault("kill_driver", _time(rng, 0.0, 8.0)) for _ in range(rng.randint(0, 2))]
    return (Round(num_drivers=NUM_RACERS, faults=_in_order(drivers, _kills(rng, NUM_KILLS - len(drivers)))),)


def _s3_restart(rng: random.Random, nth: int) -> tuple[Round, ...]:
    restarts = [Fault("restart_s3", _time(rng, 0.0, 6.0), _time(rng, 0.0, 2.0)) for _ in range(2)]
    return (Round(faults=_in_order(restarts, _kills(rng, NUM_KILLS - 2))),)


def _s3_faults(rng: random.Random, nth: int) -> tuple[Round, ...]:
    rates = FaultRates(
        slow_down=round(rng.uniform(0.0, 0.1), 3),
        reset=round(rng.uniform(0.0, 0.03), 3),
        lost=round(rng.uniform(0.0, 0.02), 3),
        cut=round(rng.uniform(0.0, 0.02), 3),
        stall=round(rng.uniform(0.0, 0.02), 3),
        stall_s=2.0,
    )
    return (Round(rates=rates, faults=_kills(rng, NUM_KILLS)),)


_ROUNDS: dict[Kind, Callable[[random.Random, int], tuple[Round, ...]]] = {
    "crash": _crash,
    "driver": _driver,
    "workers": _workers,
    "nodes": _nodes,
    "race": _race,
    "s3_restart": _s3_restart,
    "s3_faults": _s3_faults,
}


def _kills(rng: random.Random, num_kills: int) -> tuple[Fault, ...]:
    """Workers and decoders; a decoder is cheap to replace, a worker costs its start."""
    actions: tuple[Action, ...] = ("kill_worker", "kill_decoder", "kill_decoder")
    return _in_order([Fault(rng.choice(actions), _time(rng, 0.0, 6.0)) for _ in range(num_kills)])


def _in_order(*faults: Sequence[Fault]) -> tuple[Fault, ...]:
    return tuple(sorted((fault for some in faults for fault in some), key=lambda fault: fault.after_s))


def _time(rng: random.Random, start_s: float, end_s: float) -> float:
    return round(rng.uniform(start_s, end_s), 1)


def _in_words(played: Round) -> str:
    parts = [f"{played.num_drivers} x extract"]
    if played.crash_at:
        parts.append(f"crash at {played.crash_at}")
    parts += [f"{fault.action} after {fault.after_s} s" for fault in played.faults]
    if played.rates:
        parts.append(", ".join(f"{name} {value}" for name, value in asdict(played.rates).items()))
    return "; ".join(parts)
