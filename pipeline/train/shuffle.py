"""A stream in another order, from a pool that may grow while the first are used already: pure.

taken   1 2 3 4 5 6 7 8 9 ...        num_first = 2: two are taken for each one given, until num_pooled wait; from then
given     .   .   .   . . . . .      on, one for one. At the end the pool is emptied.
"""

import random
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def shuffled(items: Iterable[T], *, num_pooled: int, num_first: int, seed: int) -> Iterator[T]:
    """Every item once, each drawn from those that wait.

    Args:
        items: The stream.
        num_pooled: Items that wait at most, at least 1; the larger, the more thoroughly they are mixed.
        num_first: Items taken before the first is given: 2 where they come slowly; more mix the first ones better.
        seed: The same stream and seed give the same order.
    """
    generator = random.Random(seed)
    pool: list[T] = []
    wanted = min(num_first, num_pooled + 1)
    for item in items:
        pool.append(item)
        if len(pool) >= wanted:
            yield _drawn(pool, generator)
            wanted = min(wanted + 1, num_pooled + 1)
    while pool:
        yield _drawn(pool, generator)


def _drawn(pool: list[T], generator: random.Random) -> T:
    place = generator.randrange(len(pool))
    pool[place], pool[-1] = pool[-1], pool[place]
    return pool.pop()
