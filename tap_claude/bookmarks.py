"""The bookmark of a report: it advances per finished bucket, empty or not, and never moves back.

The SDK moves bookmarks per record, and moves them back when old records are read again. Here, a
killed run resumes at the last finished bucket, and the lookback never costs progress.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any, Protocol

from tap_claude.bucket_log import UNREPORTED_SINCE
from tap_claude.errors import StreamError
from tap_claude.windows import parse_time

if TYPE_CHECKING:
    from singer_sdk.helpers.types import Context

DEFINITION = "report"
"""Entry of a bookmark: the report definition in use when the bookmark was created."""
VALUE = "replication_key_value"

State = dict[str, Any]


class StatefulStream(Protocol):
    """The parts of a stream that a bookmark uses."""

    @property
    def stream_state(self) -> State: ...  # noqa: D102

    @property
    def replication_method(self) -> str: ...  # noqa: D102

    @property
    def replication_key(self) -> str | None: ...  # noqa: D102

    @property
    def reads_two_kinds(self) -> bool: ...  # noqa: D102

    def get_context_state(self, context: Context | None) -> State: ...  # noqa: D102

    def write_state(self, state: State) -> None: ...  # noqa: D102


class Bookmark:
    """The bookmark of one stream and organization, in the state of the run.

    A single organization uses the stream's state itself; two organizations use one partition each.
    Adding or removing a credential does not lose a bookmark.
    """

    def __init__(
        self,
        stream: StatefulStream,
        organization_type: str,
        partition: Context | None,
        definition: State | None,
    ) -> None:
        """Find the bookmark.

        ``definition`` is the current report definition; None if the stream has no variants.
        """
        self._stream = stream
        self._organization_type = organization_type
        self._partition = partition
        self._definition = definition
        self.is_kept = stream.replication_method == "INCREMENTAL"
        """Whether the stream has a bookmark; a full table has none."""

    def parts(self) -> list[State]:
        """Return the parts of the stream's state that belong to the organization or workspace."""
        state = self._stream.stream_state
        mine = self._partition or {"organization_type": self._organization_type}
        found = [part for part in state.get("partitions") or () if part["context"] == mine]
        # A state without an organization type was written when there was only one organization.
        default = None if self._partition else self._organization_type
        if state.get("organization_type", default) == self._organization_type:
            found.append(state)
        return found

    def target(self) -> State:
        """Return the part of the state that new bookmarks are written to."""
        return self._stream.get_context_state(self._partition)

    def newest(self) -> dt.datetime | None:
        """Return the start of the newest bucket that was read. Raises `StreamError`."""
        if not self.is_kept:
            return None
        moments = [time_of(part, VALUE) for part in self.parts() if part.get(VALUE) is not None]
        return max(moments, default=None)

    def unreported_since(self) -> dt.datetime | None:
        """Return the start of the first bucket that ``report_buckets`` has not yet reported."""
        moments = [
            time_of(part, UNREPORTED_SINCE) for part in self.parts() if part.get(UNREPORTED_SINCE)
        ]
        return min(moments, default=None)

    def check_definition(self) -> None:
        """Reject a bookmark whose rows were grouped, filtered or bucketed differently.

        Raises `StreamError`: both sets of rows would share a table and be counted twice.
        """
        if self._definition is None or not self.is_kept:
            return
        for part in self.parts():
            before = part.get(DEFINITION)
            if before is None or before == self._definition:
                continue
            changed = [
                f"{name} is {json.dumps(value)}, but was {json.dumps(before.get(name))}"
                for name, value in self._definition.items()
                if value != before.get(name)
            ]
            msg = (
                f"{'; '.join(changed)} when the bookmark was created. Old and new rows would share"
                " a table and be counted twice: give the report a new name, or delete the stream's"
                " bookmark and empty its table"
            )
            raise StreamError(msg)

    def advance(self, starting_at: str) -> None:
        """Advance the bookmark to a completely read bucket and write it; never move it back."""
        if not self.is_kept or not starting_at:
            return
        bookmark = self.newest()
        if bookmark is not None and bookmark > dt.datetime.now(dt.UTC):
            # A wrong clock set it. Keeping it would skip all data up to that time.
            for part in self.parts():
                part.pop(VALUE, None)
        elif bookmark is not None and parse_time(starting_at) <= bookmark:
            return
        state = self.target()
        state["replication_key"] = self._stream.replication_key
        state[VALUE] = starting_at
        if self._definition is not None:
            state[DEFINITION] = self._definition
        if not self._partition and self._stream.reads_two_kinds:
            state["organization_type"] = self._organization_type
        self._stream.write_state(state)


def time_of(state: State, name: str) -> dt.datetime:
    """Return a time in a state. Raises `StreamError` if it is not one."""
    try:
        return parse_time(state[name])
    except (AttributeError, TypeError, ValueError) as error:
        msg = (
            f"the state's {name} {state[name]!a:.60} is not a time; fix it, or delete the stream's"
            " bookmark to read from start_date again"
        )
        raise StreamError(msg) from error
