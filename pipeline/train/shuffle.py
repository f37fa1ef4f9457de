"""A stream in another order, without a wait for much of it: pure.

taken   1 2 3 4 5 6 7 8 9 ...        at first two are taken for each one given, so that the pool grows while steps are
given       .   .   .   . . . . .    made already; from num_pooled on, one for one. At the end the pool is emptied.
"""

import random
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def shuffled(items: Iterable[T], *, num_pooled: int, seed: int) -> Iterator[T]:
    """Every item once, each drawn from those that wait.

    Args:
        items: The stream.
        num_pooled: Items that wait at most, at least 1; the larger, the more thoroughly they are mixed.
        seed: The same stream and seed give the same order.
    """
    generator = random.Random(seed)
    pool: list[T] = []
    is_turn_to_give = False
    for item in items:
        pool.append(item)
        is_turn_to_give = not is_turn_to_give
        if len(pool) > num_pooled or not is_turn_to_give:
            yield _drawn(pool, generator)
    while pool:
        yield _drawn(pool, generator)


def _drawn(pool: list[T], generator: random.Random) -> T:
    place = generator.randrange(len(pool))
    pool[place], pool[-1] = pool[-1], pool[place]
    return pool.pop()
