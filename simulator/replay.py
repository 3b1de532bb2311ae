"""Serve recorded responses instead of simulated ones, to reproduce a customer's problem.

The name of a file starts with its endpoint, with ``_`` for ``/`` (``cost_report``), or with the
last part of the endpoint (``claude_code``). Any text may follow: ``cost_report.grouped.json``,
``cost_report.2026-01.json``. The words ``grouped`` and ``ungrouped`` limit the file to queries with
or without ``group_by[]``. Responses that were not recorded are empty.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.query import Query

# An empty last page of any endpoint.
EMPTY = {"data": [], "has_more": False, "next_page": None, "first_id": None, "last_id": None}


class Replay:
    """The recorded responses of a directory."""

    def __init__(self, directory: Path) -> None:
        """Read all ``*.json`` files of the directory. Raises ``ValueError`` if there are none."""
        self.bodies = {
            path.name.removesuffix(".json"): json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(directory.glob("*.json"))
        }
        if not self.bodies:
            msg = f"no recorded responses (*.json) in {directory}"
            raise ValueError(msg)

    def page(self, endpoint: str, query: Query) -> dict[str, Any]:
        """Return the recorded page of the requested time and cursor."""
        bodies = self._recorded(endpoint, grouped=bool(query.many("group_by")))
        token = query.text("page")
        if token is not None:
            # The page after the one with this cursor; it may be missing from the recording.
            followers = [
                after
                for before, after in itertools.pairwise(bodies)
                if before.get("next_page") == token
            ]
            return followers[0] if followers else EMPTY
        start, end = query.text("starting_at"), query.text("ending_at")
        fitting = [body for body in bodies if _overlaps(body, start, end)]
        return fitting[0] if fitting else EMPTY

    def _recorded(self, endpoint: str, *, grouped: bool) -> list[dict[str, Any]]:
        names = (endpoint.replace("/", "_"), endpoint.rpartition("/")[2])
        other = "ungrouped" if grouped else "grouped"
        return [
            body
            for name, body in self.bodies.items()
            if name.partition(".")[0] in names and other not in name.split(".")
        ]


def _overlaps(body: dict[str, Any], start: str | None, end: str | None) -> bool:
    """Whether a body belongs to a range or, without an end, to a day."""
    items = [item for item in body["data"] if isinstance(item, dict)]
    times = [time for item in items if (time := item.get("starting_at") or item.get("date"))]
    if start is None or (items and not times):
        return True
    last = (end or start)[:10]
    return any(
        start[:10] <= time[:10] and (time[:10] < last or (end is None and time[:10] == last))
        for time in times
    )
