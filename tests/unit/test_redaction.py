"""Secrets never reach a log."""

from __future__ import annotations

import logging

from tap_claude.redaction import REDACTION


def test_structured_logs_are_masked_too() -> None:
    record = logging.LogRecord("x", logging.ERROR, "p", 1, "a %s of %d", ("hush-hush", 2), None)
    REDACTION.hide({"hush-hush"})
    assert REDACTION.filter(record)
    assert record.getMessage() == "a *** of 2"
