"""One item is fetched in advance while another is processed; never two."""

from __future__ import annotations

import threading
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tap_claude.prefetch import prefetch
from tests.conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


PAUSE = 0.05


class Source:
    """Items that take a while to fetch."""

    def __init__(self, items: list[Any], pause: float = 0.0) -> None:
        """Each item takes ``pause`` seconds."""
        self.items, self.pause = items, pause
        self.begun: list[Any] = []
        self.fetched = 0
        self.at_work = self.most_at_work = 0

    def has_fetched(self, count: int) -> bool:
        return self.fetched == count

    def __iter__(self) -> Iterator[Any]:
        """Fetch the items one by one."""
        for item in self.items:
            self.begun.append(item)
            self.at_work += 1
            self.most_at_work = max(self.most_at_work, self.at_work)
            time.sleep(self.pause)
            self.at_work -= 1
            self.fetched += 1
            if isinstance(item, Exception):
                raise item
            yield item


def test_all_items_come_in_order() -> None:
    source = Source(list(range(100)))
    assert list(prefetch(iter(source))) == list(range(100))
    assert source.most_at_work == 1
    assert list(prefetch(iter(()))) == []


def test_one_item_is_fetched_in_advance_not_two() -> None:
    source = Source([1, 2, 3, 4])
    items = prefetch(iter(source))
    assert not source.begun
    assert next(items) == 1
    wait_until(lambda: source.begun == [1, 2])
    time.sleep(PAUSE)
    assert source.begun == [1, 2]
    assert next(items) == 2
    wait_until(lambda: source.begun == [1, 2, 3])


def test_fetching_and_processing_overlap() -> None:
    """While an item is processed, the next one is fetched completely."""
    source = Source(list(range(8)), pause=PAUSE)
    for item in prefetch(iter(source)):
        wait_until(partial(source.has_fetched, min(item + 2, 8)))
    assert source.most_at_work == 1


def test_nothing_is_fetched_ahead_of_a_large_item() -> None:
    source = Source([1, 2, 3])
    items = prefetch(iter(source), eager=lambda item: item != 2)
    assert [next(items), next(items)] == [1, 2]
    time.sleep(PAUSE)
    assert source.begun == [1, 2]
    assert next(items) == 3


def test_a_large_item_is_freed_before_the_next_is_fetched() -> None:
    made: list[weakref.ref[Source]] = []
    alive = []

    def things() -> Iterator[Source]:
        for _ in range(4):
            alive.append(sum(thing() is not None for thing in made))
            thing = Source([])
            made.append(weakref.ref(thing))
            yield thing
            del thing

    for thing in prefetch(things(), eager=lambda _: False):
        assert thing.items == []
        del thing
    assert alive == [0, 0, 0, 0]


def test_uncounted_items_are_fetched_in_addition() -> None:
    source = Source([1, None, 2, None, None, 3])
    items = prefetch(iter(source), uncounted=lambda item: item is None)
    assert next(items) == 1
    wait_until(lambda: source.begun == [1, None, 2])
    time.sleep(PAUSE)
    assert source.begun == [1, None, 2]
    assert list(items) == [None, 2, None, None, 3]


def test_an_error_is_raised_in_place_of_its_item() -> None:
    items = prefetch(iter(Source([1, ValueError("two"), 3])))
    assert next(items) == 1
    with pytest.raises(ValueError, match="two"):
        next(items)
    assert list(items) == []


def test_no_thread_remains_if_reading_stops_early() -> None:
    before = threading.active_count()
    source = Source([1, 2, 3])
    items: Any = prefetch(iter(source))
    next(items)
    items.close()
    wait_until(lambda: threading.active_count() == before)
    assert source.begun == [1, 2]
