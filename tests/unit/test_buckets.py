"""Buckets: rows with one key are one record, however many rows there are."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tap_claude import buckets
from tap_claude.buckets import Bucket, BucketReader
from tap_claude.records import Columns
from tap_claude.reshape import unchanged
from tap_claude.row_keys import RowKey
from tap_claude.windows import Window

NAMES = ("organization_id", "model", "starting_at", "ending_at", "amount", "currency")
DOLLARS = {"type": ["string", "null"], "format": "x-singer.decimal"}
DAY = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def read(rows: list[dict[str, Any]]) -> tuple[dict[str, tuple[int, str]], int]:
    """Return tokens and dollars of each model, and how many rows were merged."""
    columns = Columns(
        {
            "properties": {
                **{name: {"type": ["string", "null"]} for name in NAMES},
                "tokens": {"type": ["integer", "null"]},
                "amount_usd": DOLLARS,
            }
        }
    )
    window = Window(DAY, DAY + dt.timedelta(days=1))
    bucket = Bucket(window, rows, is_complete=True)
    key = RowKey("usage", ("console", "org"), bucket.starting_at, "1d", ("model",))
    reader = BucketReader(
        bucket,
        columns,
        key,
        unchanged,
        columns.conform,
        constants={"organization_id": "org"},
        has_dated_rows=False,
        should_be_unique=lambda _: True,
    )
    records = list(reader.records())
    sums = {record["model"]: (record["tokens"], record["amount_usd"]) for record in records}
    assert len(sums) == len(records)
    return sums, reader.merged_rows


@pytest.mark.parametrize("large", [0, 100], ids=["large", "small"])
def test_rows_that_look_the_same_are_summed(monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    """Also in a bucket that is decoded twice, where they are far apart. Null and 20 are 20."""
    monkeypatch.setattr(buckets, "LARGE_BUCKET", large)
    usd = {"currency": "USD"}
    rows = [
        {"model": f"model_{n % 20}", "tokens": n or None, "amount": f"{n % 20}.1", **usd}
        for n in range(25)
    ]
    sums, merged = read(rows)
    once = {f"model_{n}": (n, f"{n / 100:.2f}1") for n in range(5, 20)}
    twice = {f"model_{n}": (2 * n + 20, f"{n / 50:.2f}2") for n in range(5)}
    assert (sums, merged) == (once | twice, 5)
