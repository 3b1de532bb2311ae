"""The context that the streams of a run share."""

from __future__ import annotations

import datetime as dt
import logging

import pytest

from tap_claude.config import Config, with_defaults
from tap_claude.sync_context import SyncContext


@pytest.mark.parametrize(
    ("microsecond", "fraction"), [(0, "000"), (5_999, "005"), (42_000, "042"), (999_999, "999")]
)
def test_times_of_runs_sort_as_text(microsecond: int, fraction: str) -> None:
    """Append-only targets find the newest version of a row by comparing these texts."""
    started_at = dt.datetime(2026, 3, 20, 13, 37, 42, microsecond, tzinfo=dt.UTC)
    run = SyncContext(Config(with_defaults({})), started_at, logging.getLogger(__name__))
    assert run.extracted_at == f"2026-03-20T13:37:42.{fraction}Z"
