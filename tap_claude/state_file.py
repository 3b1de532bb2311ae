"""Formats that ``--state`` accepts: a plain state, a STATE message, or Meltano's output."""

from __future__ import annotations

import json
from typing import Any

EXPECTED = (
    'expected a Singer state, {"bookmarks": {...}}, a STATE message or the output of meltano state'
    " get"
)


def read_state(text: str) -> dict[str, Any]:
    """Return the state in a file's text. Raises ``ValueError`` with an explanation."""
    try:
        content = json.loads(text)
    except ValueError as error:
        if len(text.split("\n{")) > 1:
            msg = "has several lines; keep only the last line, which is the newest state"
        else:
            msg = f"is not JSON: {error}"
        raise ValueError(msg) from error
    if not isinstance(content, dict):
        msg = f"must contain a JSON object; {EXPECTED}"
        raise ValueError(msg)  # noqa: TRY004
    if content.get("type") == "STATE":
        content = content.get("value")
    elif "singer_state" in content:
        content = content["singer_state"]
    if not isinstance(content, dict) or (content and "bookmarks" not in content):
        msg = f"contains no state; {EXPECTED}"
        raise ValueError(msg)
    return _checked(content)


def _checked(state: dict[str, Any]) -> dict[str, Any]:
    bookmarks = state.get("bookmarks", {})
    if not isinstance(bookmarks, dict):
        msg = f"bookmarks must be an object; {EXPECTED}"
        raise ValueError(msg)  # noqa: TRY004
    for stream, entry in bookmarks.items():
        if not isinstance(entry, dict):
            msg = f"bookmarks.{stream} must be an object"
            raise ValueError(msg)  # noqa: TRY004
        partitions = entry.get("partitions", [])
        if partitions is None:
            del entry["partitions"]
        elif not isinstance(partitions, list) or not all(map(_is_partition, partitions)):
            msg = f"bookmarks.{stream}.partitions must be a list of objects, each with a context"
            raise ValueError(msg)
    return state


def _is_partition(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("context"), dict)
