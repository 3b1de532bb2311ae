"""Row keys: what makes a row of a report the same row in every run."""

from __future__ import annotations

import hashlib
import operator
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_encode = msgspec.json.Encoder().encode


def values_of(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    """Return a fast getter of the values of some columns."""
    if len(names) > 1:
        return operator.itemgetter(*names)
    return lambda record: [record[name] for name in names]


class RowKey:
    """Maker of row keys in one bucket: 32 hex characters of a SHA-256 over what identifies a row.

    That is stream, organization, bucket and dimensions. Dimensions count by name and value, in any
    order; null, "" and absent are three things. No metric is part of it, so a restated row keeps
    its key.
    """

    def __init__(
        self,
        stream: str,
        organization: tuple[str, str],
        starting_at: str,
        bucket_width: str,
        dimensions: Iterable[str],
    ) -> None:
        """Hash what all rows of the bucket have in common; an organization is (type, id)."""
        common = _encode([stream, *organization, starting_at, bucket_width])
        self._common = hashlib.sha256(common[:-1] + b",")
        self._names = sorted(dimensions)
        self._values = values_of(self._names)

    def of(self, record: Mapping[str, Any]) -> str:
        """Return the key of a record."""
        digest = self._common.copy()
        digest.update(_encode([*zip(self._names, self._values(record), strict=False)]))
        digest.update(b"]")
        return digest.hexdigest()[:32]
