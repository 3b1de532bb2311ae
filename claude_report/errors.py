"""What ends the command with one line."""

from __future__ import annotations


class ReportError(Exception):
    """The report cannot be made; the message names the cause and the way out."""
