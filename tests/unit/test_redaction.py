"""Secrets never reach a log."""

from __future__ import annotations

import logging

from tap_claude.redaction import REDACTION


def test_structured_logs_are_masked_too() -> None:
    record = logging.LogRecord("x", logging.ERROR, "p", 1, "a %s of %d", ("hush-hush", 2), None)
    REDACTION.hide({"hush-hush"})
    assert REDACTION.filter(record)
    assert record.getMessage() == "a *** of 2"


def test_a_secret_that_arrives_later_is_masked_whole() -> None:
    """It may contain one that is known: the longer one is masked first."""
    REDACTION.hide({"part-of-it"})
    REDACTION.hide({"all-and-part-of-it-too", "abc"})
    assert REDACTION.mask("x all-and-part-of-it-too part-of-it abc") == "x *** *** abc"
