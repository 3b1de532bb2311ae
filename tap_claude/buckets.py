"""Time buckets: turn their rows into records and merge rows with the same key."""

from __future__ import annotations

import array
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tap_claude.errors import MalformedResponseError
from tap_claude.money import sum_amounts
from tap_claude.pages import iter_rows
from tap_claude.reshape import unchanged
from tap_claude.row_keys import RowKey, values_of
from tap_claude.windows import format_time

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import msgspec

    from tap_claude.pages import ApiPage, Row
    from tap_claude.records import Columns
    from tap_claude.windows import Window

LARGE_BUCKET = 15_000
"""Rows above which a bucket is decoded twice instead of being held in memory."""


@dataclass(frozen=True)
class Bucket:
    """One interval of a report: its rows, and whether it can still grow."""

    window: Window
    rows: Sequence[Row | msgspec.Raw]
    is_complete: bool
    data_refreshed_at: dt.datetime | None = None

    @property
    def starting_at(self) -> str:
        """Start of the bucket, as written to its records."""
        return format_time(self.window.start)

    @property
    def ending_at(self) -> str:
        """Exclusive end of the bucket, as written to its records."""
        return format_time(self.window.end)


def bucket_of(page: ApiPage, window: Window, rows: Sequence[Row | msgspec.Raw]) -> Bucket:
    """Return a bucket of a page.

    It is complete if it ended before the request was sent, and before ``data_refreshed_at``.
    """
    until = min(page.sent_at, page.data_refreshed_at or page.sent_at)
    return Bucket(window, rows, window.end <= until, page.data_refreshed_at)


@dataclass
class BucketSummary:
    """Counts and sums of the records of a bucket."""

    token_columns: Sequence[str]
    rows: int = 0
    tokens: int = 0
    _dollars: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Prepare a fast getter."""
        self._tokens_of = values_of(self.token_columns) if self.token_columns else None

    def add(self, record: Row) -> None:
        """Add a record."""
        self.rows += 1
        if self._tokens_of:
            try:
                self.tokens += sum(self._tokens_of(record))
            except TypeError:  # a null
                self.tokens += sum(filter(None, self._tokens_of(record)))
        dollars = record.get("amount_usd")
        if dollars is not None:
            self._dollars.append(dollars)

    @property
    def amount_usd(self) -> str:
        """Exact sum of ``amount_usd``."""
        return sum_amounts(self._dollars)


@dataclass
class BucketReader:
    """Turns the rows of one bucket into records."""

    bucket: Bucket
    columns: Columns
    row_key: RowKey
    reshape: Callable[[Row], Iterable[Row]]
    """Turns a row of the API into the rows of the stream."""
    conform: Callable[[Row], Row]
    """Converts such a row to a record."""
    constants: Mapping[str, Any]
    """Columns that have the same value in all records of the bucket."""
    has_dated_rows: bool
    """Whether each row names its bucket."""
    should_be_unique: Callable[[Row], bool]
    """Whether no other row of the bucket is expected to have the key of this record."""
    merged_rows: int = 0
    """Rows that were merged although their key should have been unique."""

    def records(self) -> Iterator[Row]:
        """Yield the records; rows with the same key are summed exactly.

        Rows with the same key can be far apart. A large bucket is decoded twice, so that only rows
        with a repeated key are held in memory.
        """
        key = self.row_key.of
        large = len(self.bucket.rows) > LARGE_BUCKET
        repeated = _repeated(map(key, self._parts())) if large else None
        merged: dict[str, Row] = {}
        for record in self._parts():
            row_id = key(record)
            if repeated is not None and row_id[:16] not in repeated:
                yield self._finish(record, row_id)
            elif row_id in merged:
                self.merged_rows += self.should_be_unique(record)
                self.columns.merge(merged[row_id], record)
            else:
                merged[row_id] = record
        for row_id, record in merged.items():
            yield self._finish(record, row_id)

    def _parts(self) -> Iterator[Row]:
        """Yield the rows as records, before merging.

        Raises `MalformedResponseError` for a row that does not belong to the requested bucket.
        """
        rows = iter_rows(self.bucket.rows)
        if self.reshape is not unchanged:
            rows = itertools.chain.from_iterable(map(self.reshape, rows))
        start = self.bucket.starting_at
        asked = {"starting_at": start, "ending_at": self.bucket.ending_at, "date": start[:10]}
        names = [name for name in asked if name in self.columns.names]
        bounds_of = values_of(names)
        as_asked = tuple(asked[name] for name in names)
        without = None if self.has_dated_rows else (None,) * len(names)
        for record in map(self.conform, rows):
            bounds = tuple(bounds_of(record))
            if bounds not in (as_asked, without):
                self._check_bounds(record, names, asked)
            yield record

    def _check_bounds(self, record: Row, names: list[str], asked: Mapping[str, str]) -> None:
        """Raise `MalformedResponseError` if a row does not belong to the requested bucket."""
        found = record.get("starting_at")
        if found != asked["starting_at"] and (found is not None or self.has_dated_rows):
            msg = f"a row of {found} is out of order or outside the requested window"
            raise MalformedResponseError(msg)
        for name in names:
            if record[name] not in (None, asked[name]):
                msg = (
                    f"a row of {asked['starting_at']} has {name} {record[name]}, not {asked[name]}"
                )
                raise MalformedResponseError(msg)

    def _finish(self, record: Row, row_id: str) -> Row:
        if self.columns.money:
            self.columns.add_dollars(record)
        own_organization = record["organization_id"]
        record.update(self.constants)
        record["row_id"] = row_id
        if own_organization is not None:  # a parent organization's key reads its children's rows
            record["organization_id"] = own_organization
        return record


def _repeated(row_ids: Iterable[str]) -> set[str]:
    """Return the first halves of the keys that may be repeated, using little memory."""
    halves = sorted(array.array("Q", (int(row_id[:16], 16) for row_id in row_ids)))
    return {f"{one:016x}" for one, other in itertools.pairwise(halves) if one == other}
