"""Fetch the next item of an iterator while the current one is processed.

Threads: the iterator, and with it the client and its session, belongs to the fetching thread; the
items belong to the consuming thread. Only items and errors are passed between the two.
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
    """Yield the items of an iterator; a thread fetches the next item in advance.

    The thread fetches the next item while the current one is processed. If ``eager`` is false for
    the current item, it fetches the next one only afterwards. If ``uncounted`` is true for an item
    (such as an end mark), it fetches one more. An exception is raised in place of its item.
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
                    del item  # it may be large; free it before the next one is fetched
        except BaseException as error:  # noqa: BLE001  # raised in the consuming thread
            results.put((_END, error))

    # A daemon thread, so that a stopped run does not wait for a response.
    threading.Thread(target=fetch, daemon=True).start()
    try:
        tickets.put("next")
        while True:
            item, error = results.get()
            if error is not None:
                raise error
            if item is _END:
                return
            marker = uncounted(item)
            fetches_next = not marker and eager(item)
            if fetches_next:
                tickets.put("next")
            yield item
            del item
            if not marker and not fetches_next:
                tickets.put("next")
    finally:
        tickets.put("stop")
