"""Keep secrets out of the log, and e-mail addresses too if users are pseudonymized.

A single filter on the handlers, so that it applies to every logger.
"""

from __future__ import annotations

import logging
import re

from typing_extensions import override

from tap_claude.pseudonyms import ADDRESS

MIN_SECRET_LENGTH = 4
"""Minimum length of a secret; masking shorter texts would mask half of the log."""


class Redaction(logging.Filter):
    """Masks secrets and addresses in log records."""

    def __init__(self) -> None:
        """Start with nothing to mask."""
        super().__init__()
        self._secrets: tuple[str, ...] = ()
        """Longest first. Replaced, never changed: other threads may be reading it."""
        self._hides_addresses = False

    def hide(self, secrets: set[str], *, addresses: bool = False) -> None:
        """Mask these secrets, and e-mail addresses if ``addresses`` is true, from now on."""
        known = {*self._secrets, *secrets}
        long_enough = [secret for secret in known if len(secret) >= MIN_SECRET_LENGTH]
        self._secrets = tuple(sorted(long_enough, key=len, reverse=True))
        self._hides_addresses |= addresses

    def mask(self, text: str) -> str:
        """Return the text with secrets and addresses masked."""
        for secret in self._secrets:
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
"""One filter per process, because logging is configured per process."""


def redact_logs(secrets: set[str], *, addresses: bool) -> None:
    """Mask these secrets, and e-mail addresses if ``addresses`` is true, in all log output."""
    REDACTION.hide(secrets, addresses=addresses)
    for handler in logging.getLogger().handlers:
        handler.addFilter(REDACTION)


def sanitize_for_log(text: str) -> str:
    """Make external text safe to log: one short line, without escape sequences or secrets."""
    line = " ".join(REDACTION.mask(text).split())
    return re.sub(r"[^\x20-\x7e]", lambda match: ascii(match[0])[1:-1], line)[:300]
