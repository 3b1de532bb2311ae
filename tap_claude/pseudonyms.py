"""Replace names and e-mail addresses of people by keyed hashes, or drop them.

Pure functions of a key; no I/O. Ids are not changed: they do not reveal who a person is.
"""

from __future__ import annotations

import functools
import hmac
import re
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

# Finds addresses in text; it does not validate them.
ADDRESS = re.compile(r"[^\s@<>\"'(),:;/\\]+@[\w-]+(?:\.[\w-]+)+")
_ID = re.compile(r"(?:.*_)?ids?")


class Pseudonyms:
    """Pseudonyms under one key: the same person has the same pseudonym in every stream."""

    def __init__(self, mode: str, key: str, persons: Iterable[str]) -> None:
        """Set the mode (``hash`` or ``drop``), the secret, and the columns with personal data."""
        self.drops = mode == "drop"
        self._key = key.encode()
        self._persons = tuple(persons)

    def replace(self, record: dict[str, Any]) -> None:
        """Replace all names and addresses in a record; row keys are computed from the result.

        Addresses are also replaced in other text (subjects, descriptions, tags), but not in ids.
        """
        for name in self._persons:
            if record[name] is not None:
                record[name] = pseudonym(self._key, record[name])
        for name, value in record.items():
            if value.__class__ in {str, dict, list} and not _ID.fullmatch(name):
                record[name] = self._without_addresses(value)

    def finish(self, record: dict[str, Any]) -> None:
        """In mode ``drop``, set the pseudonyms to null, after the row keys are computed."""
        if self.drops:
            for name in self._persons:
                record[name] = None

    def _without_addresses(self, value: Any) -> Any:
        if isinstance(value, str):
            if "@" not in value:
                return value
            return ADDRESS.sub(lambda match: pseudonym(self._key, match[0]), value)
        if isinstance(value, dict):
            return {
                self._without_addresses(name): self._without_addresses(part)
                for name, part in value.items()
            }
        if isinstance(value, list):
            return [self._without_addresses(part) for part in value]
        return value


@functools.lru_cache(maxsize=65_536)
def pseudonym(key: bytes, text: str) -> str:
    """Return 32 hex characters of an HMAC-SHA256; ignores case and surrounding spaces."""
    same = unicodedata.normalize("NFKC", text).strip().casefold()
    return hmac.digest(key, same.encode(), "sha256").hex()[:32]
