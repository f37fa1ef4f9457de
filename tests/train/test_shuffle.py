"""Mixed thoroughly, completely, repeatably, and without a wait."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from pipeline.train.shuffle import shuffled


@pytest.mark.parametrize("num_items", [0, 1, 2, 7, 1000])
@pytest.mark.parametrize("num_pooled", [1, 5, 2000])
@pytest.mark.parametrize("num_first", [1, 2, 2000])
def test_every_item_comes_once(num_items: int, num_pooled: int, num_first: int) -> None:
    assert sorted(shuffled(range(num_items), num_pooled=num_pooled, num_first=num_first, seed=0)) == list(
        range(num_items)
    )


def test_the_order_is_that_of_the_seed() -> None:
    orders = [list(shuffled(range(20), num_pooled=8, num_first=2, seed=seed)) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] == [0, 3, 1, 4, 5, 6, 13, 14, 12, 11, 2, 15, 9, 16, 17, 10, 19, 7, 18, 8], "golden"


def test_the_first_item_waits_for_one_other_only() -> None:
    num_taken = 0

    def counted() -> Iterator[int]:
        nonlocal num_taken
        for item in range(10_000):
            num_taken = item + 1
            yield item

    given = shuffled(counted(), num_pooled=512, num_first=2, seed=0)
    waits = []
    for _ in range(2_000):
        next(given)
        waits.append(num_taken)
    assert waits[0] == 2
    assert waits[100] == 202, "two taken for one given"
    assert waits[1_999] <= 2_000 + 512 + 1
    assert max(later - earlier for earlier, later in pairwise(waits)) == 2


def test_a_full_pool_mixes_far() -> None:
    order = list(shuffled(range(5_000), num_pooled=512, num_first=2, seed=3))
    moved = sorted(abs(place - item) for place, item in enumerate(order))
    assert moved[len(moved) // 2] > 128


def test_where_the_pool_is_filled_first_the_first_items_are_as_mixed_as_the_last() -> None:
    def mean_of_the_first(num_first: int) -> float:
        firsts = [list(shuffled(range(100), num_pooled=512, num_first=num_first, seed=seed))[:8] for seed in range(50)]
        return sum(map(sum, firsts)) / 400

    assert mean_of_the_first(512) == pytest.approx(49.5, abs=5)
    assert mean_of_the_first(2) < 10
