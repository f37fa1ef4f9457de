"""What is made ahead is the same, in the same order, and its errors arrive."""

import threading

import pytest

from pipeline.train.batches import one_ahead


def test_the_items_are_the_same_in_the_same_order():
    assert list(one_ahead(iter(range(100)))) == list(range(100))


@pytest.mark.parametrize("items", [[], [None], [None, 0, False]], ids=str)
def test_no_item_is_taken_for_the_end(items):
    assert list(one_ahead(items)) == items


def test_the_next_is_made_while_the_last_is_worked_on():
    made = threading.Event()

    def source():
        yield "first"
        made.set()
        yield "second"

    items = one_ahead(source())
    assert next(items) == "first"
    assert made.wait(timeout=30), "nobody asked for the second"
    assert next(items) == "second"


def test_no_more_than_one_is_made_ahead():
    made = []

    def source():
        for item in range(10):
            made.append(item)
            yield item

    items = one_ahead(source())
    for item in range(3):
        assert next(items) == item
    items.close()  # waits for the thread
    assert len(made) <= 4


def test_an_error_arrives_in_its_place():
    def source():
        yield 1
        raise ValueError("no more")

    items = one_ahead(source())
    assert next(items) == 1
    with pytest.raises(ValueError, match="no more"):
        next(items)
