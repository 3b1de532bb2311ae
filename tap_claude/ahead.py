"""Fetch the next item of an iterator while the present one is worked on."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

_END = object()


def ahead(
    items: Iterator[T],
    *,
    at_once: Callable[[T], bool] = lambda _: True,
    free: Callable[[T], bool] = lambda _: False,
) -> Iterator[T]:
    """Yield the items of an iterator that a thread advances, one at a time and one ahead.

    The next item is begun when the present one is handed out; where ``at_once`` says no to the
    present one, only after it was worked on. ``free`` items, such as a mark of an end, do not
    count: the one after them is begun as well. An exception comes out where its item would have.
    """
    tickets: SimpleQueue[str] = SimpleQueue()
    results: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def fetch() -> None:
        try:
            while tickets.get() == "next":
                more = True
                while more:
                    item: Any = next(items, _END)
                    more = item is not _END and free(item)
                    results.put((item, None))
                    del item  # it may be large, and the next one is not begun yet
        except BaseException as error:  # noqa: BLE001  # it is raised on the other side
            results.put((_END, error))

    # A daemon, so that a run that is stopped need not wait for an answer.
    threading.Thread(target=fetch, daemon=True).start()
    try:
        tickets.put("next")
        while True:
            item, error = results.get()
            if error is not None:
                raise error
            if item is _END:
                return
            counts = not free(item)
            eager = counts and at_once(item)
            if eager:
                tickets.put("next")
            yield item
            del item
            if counts and not eager:
                tickets.put("next")
    finally:
        tickets.put("stop")
