"""People's names and e-mail addresses: replaced by keyed hashes, or dropped.

Pure functions of a key; no I/O. Ids are not touched: they tell people apart, not who they are.
"""

from __future__ import annotations

import functools
import hmac
import re
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

# Good enough to find an address in other text; it need not tell whether mail would arrive.
ADDRESS = re.compile(r"[^\s@<>\"'(),:;/\\]+@[\w-]+(?:\.[\w-]+)+")
_ID = re.compile(r"(?:.*_)?ids?")


class Pseudonyms:
    """Pseudonyms of people under one key: the same person has the same one in every stream."""

    def __init__(self, mode: str, key: str, persons: Iterable[str]) -> None:
        """Take ``hash`` or ``drop``, the secret, and the columns that hold names or addresses."""
        self.drops = mode == "drop"
        self._key = key.encode()
        self._persons = tuple(persons)

    def replace(self, record: dict[str, Any]) -> None:
        """Replace all names and addresses in a record; row keys are made of what is left.

        Addresses are found in all other text too: subjects, descriptions, tags; not in ids.
        """
        for name in self._persons:
            if record[name] is not None:
                record[name] = pseudonym(self._key, record[name])
        for name, value in record.items():
            if value.__class__ in {str, dict, list} and not _ID.fullmatch(name):
                record[name] = self._without_addresses(value)

    def finish(self, record: dict[str, Any]) -> None:
        """Null the pseudonyms where people are to be dropped, once the row keys are made."""
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
    """Return 32 hex characters of an HMAC-SHA256; case and outer spaces do not matter."""
    same = unicodedata.normalize("NFKC", text).strip().casefold()
    return hmac.digest(key, same.encode(), "sha256").hex()[:32]
