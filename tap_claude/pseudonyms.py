"""Replace names and e-mail addresses of people by keyed hashes, or drop them.

IP addresses and user agents count as personal too. Pure functions of a key; no I/O. Ids are not
changed: they do not reveal who a person is.
"""

from __future__ import annotations

import functools
import hmac
import ipaddress
import re
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

# Finds addresses in text; it does not validate them.
ADDRESS = re.compile(r"[^\s@<>\"'(),:;/\\]+@[\w-]+(?:\.[\w-]+)+")
# Finds what could be an IP address, which `ipaddress` then decides.
_IP = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}(?![\d.]*\d)|[0-9a-fA-F]*:[0-9a-fA-F:]*:[0-9a-fA-F:.]*)"
)
_BROWSER = "user_agent"
_ID = re.compile(r"(?:.*_)?ids?")


class Pseudonyms:
    """Pseudonyms under one key: the same person has the same pseudonym in every stream."""

    def __init__(
        self, mode: str, key: str, persons: Iterable[str], objects: Iterable[str] = ()
    ) -> None:
        """Set the mode (``hash`` or ``drop``), the secret, and the columns with personal data.

        ``objects`` are the columns with objects in which IP addresses and user agents are replaced.
        """
        self.drops = mode == "drop"
        self._key = key.encode()
        self._persons = tuple(persons)
        self._objects = tuple(objects)

    def replace(self, record: dict[str, Any]) -> None:
        """Replace all names and addresses in a record; row keys are computed from the result.

        Addresses are also replaced in other text (subjects, descriptions, tags), but not in ids.
        """
        for name in self._persons:
            if record[name] is not None:
                record[name] = pseudonym(self._key, record[name])
        for name in self._objects:
            record[name] = self._without_traces(record[name])
        for name, value in record.items():
            if value.__class__ in {str, dict, list} and not _ID.fullmatch(name):
                record[name] = self._without_addresses(value)

    def finish(self, record: dict[str, Any]) -> None:
        """In mode ``drop``, set the pseudonyms to null, after the row keys are computed."""
        if self.drops:
            for name in self._persons:
                record[name] = None

    def _without_traces(self, value: Any, name: str = "") -> Any:
        """Replace addresses, IP addresses and user agents in an object; in mode ``drop``, by "".

        Without a key, a hash of an IP address could be reversed by trying all of them.
        """
        if isinstance(value, str):
            if name == _BROWSER:
                return self._hidden(value)
            value = ADDRESS.sub(lambda match: self._hidden(match[0]), value)
            return _IP.sub(lambda match: self._hidden_ip(match[0]), value)
        if isinstance(value, dict):
            return {
                self._without_traces(key): self._without_traces(part, key)
                for key, part in value.items()
            }
        if isinstance(value, list):
            return [self._without_traces(part, name) for part in value]
        return value

    def _hidden_ip(self, text: str) -> str:
        address = text.rstrip(".") if text.endswith(".") else text
        try:
            ipaddress.ip_address(address)
        except ValueError:
            return text
        return self._hidden(address) + text[len(address) :]

    def _hidden(self, text: str) -> str:
        return "" if self.drops else pseudonym(self._key, text)

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
