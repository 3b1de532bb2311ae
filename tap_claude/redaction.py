"""What must not reach a log: secrets, and people's addresses where these are pseudonymized.

One filter, on the handlers, so that it holds for every logger and whoever writes to it.
"""

from __future__ import annotations

import logging
import re

from typing_extensions import override

from tap_claude.pseudonyms import ADDRESS

SHORTEST_SECRET = 4
"""Fewer characters are no secret, and would mask half of a log."""


class Redaction(logging.Filter):
    """Masks texts in all that is logged."""

    def __init__(self) -> None:
        """Mask nothing yet."""
        super().__init__()
        self._secrets: set[str] = set()
        self._hides_addresses = False

    def hide(self, secrets: set[str], *, addresses: bool = False) -> None:
        """Mask these secrets, and perhaps e-mail addresses, from now on."""
        self._secrets |= {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
        self._hides_addresses |= addresses

    def mask(self, text: str) -> str:
        """Return a text without what must not be seen."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return ADDRESS.sub("***", text) if self._hides_addresses else text

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self.mask(record.getMessage()), None
        if record.exc_info:
            record.exc_text = self.mask(_FORMATTER.formatException(record.exc_info))
            record.exc_info = None
        return True


_FORMATTER = logging.Formatter()
REDACTION = Redaction()
"""The filter of the process, as logging is the process's too."""


def redact_logs(secrets: set[str], *, addresses: bool) -> None:
    """Keep these secrets, and perhaps e-mail addresses, out of everything that is logged."""
    REDACTION.hide(secrets, addresses=addresses)
    for handler in logging.getLogger().handlers:
        handler.addFilter(REDACTION)


def sanitize_for_log(text: str) -> str:
    """Make text from outside fit for a log: one short line, no escapes, no secrets."""
    line = " ".join(REDACTION.mask(text).split())
    return re.sub(r"[^\x20-\x7e]", lambda match: ascii(match[0])[1:-1], line)[:300]
