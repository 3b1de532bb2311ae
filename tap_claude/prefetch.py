"""Fetch the next item of an iterator while the present one is worked on.

Threads: the iterator, and with it the client and its session, belongs to the fetching thread; the
items belong to the thread that takes them. Nothing is shared but the items and the errors.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

_END = object()


def prefetch(
    items: Iterator[T],
    *,
    eager: Callable[[T], bool] = lambda _: True,
    uncounted: Callable[[T], bool] = lambda _: False,
) -> Iterator[T]:
    """Yield the items of an iterator that a thread advances, one at a time and one ahead.

    The next item is begun when the present one is handed out; where ``eager`` says no to the
    present one, only after it was worked on. ``uncounted`` items, such as a mark of an end, do not
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
                    more = item is not _END and uncounted(item)
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
            counts = not uncounted(item)
            begins_next = counts and eager(item)
            if begins_next:
                tickets.put("next")
            yield item
            del item
            if counts and not begins_next:
                tickets.put("next")
    finally:
        tickets.put("stop")
