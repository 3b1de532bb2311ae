"""Recorded answers instead of simulated ones, to reproduce what a customer saw.

A file is named after its endpoint, with ``_`` for ``/`` (``cost_report``) or the last part of it
(``claude_code``), then anything: ``cost_report.grouped.json``, ``cost_report.2026-01.json``. The
words ``grouped`` and ``ungrouped`` limit it to queries with and without ``group_by[]``.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

from simulator.query import ApiError

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.query import Query

EMPTY = {"data": [], "has_more": False, "next_page": None}


class Replay:
    """The recorded bodies of a directory."""

    def __init__(self, directory: Path) -> None:
        """Read every ``*.json`` of the directory. Raises ``ValueError`` if there is none."""
        self.bodies = {
            path.name.removesuffix(".json"): json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(directory.glob("*.json"))
        }
        if not self.bodies:
            msg = f"no recorded answers (*.json) in {directory}"
            raise ValueError(msg)

    def answer(self, endpoint: str, query: Query) -> dict[str, Any]:
        """Return the recorded page that holds the requested time and follows the given one."""
        bodies = self._recorded(endpoint, grouped=bool(query.many("group_by")))
        if not bodies:
            raise ApiError(404, "not_found_error", f"nothing is recorded for {endpoint}")
        token = query.text("page")
        if token is not None:
            # The page after the one that named this token; trimmed recordings may lack it.
            followers = [
                after
                for before, after in itertools.pairwise(bodies)
                if before.get("next_page") == token
            ]
            return followers[0] if followers else EMPTY
        start, end = query.text("starting_at") or "", query.text("ending_at") or "9"
        return next((body for body in bodies if _overlaps(body, start, end)), EMPTY)

    def _recorded(self, endpoint: str, *, grouped: bool) -> list[dict[str, Any]]:
        names = (endpoint.replace("/", "_"), endpoint.rpartition("/")[2])
        other = "ungrouped" if grouped else "grouped"
        return [
            body
            for name, body in self.bodies.items()
            if name.partition(".")[0] in names and other not in name.split(".")
        ]


def _overlaps(body: dict[str, Any], start: str, end: str) -> bool:
    """Tell whether a body belongs to a range; one without times of its own always does."""
    times = [
        item.get("starting_at") or item.get("date")
        for item in body["data"]
        if isinstance(item, dict)
    ]
    return not times or any(time is None or start[:10] <= time[:10] < end[:10] for time in times)
