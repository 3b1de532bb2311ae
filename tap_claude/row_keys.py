"""Row keys, which identify a row of a report in every run."""

from __future__ import annotations

import hashlib
import operator
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_encode = msgspec.json.Encoder().encode


def values_of(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    """Return a fast getter for the values of some columns."""
    if len(names) > 1:
        return operator.itemgetter(*names)
    return lambda record: [record[name] for name in names]


class RowKey:
    """Computes the row keys of one bucket: 32 hex characters of a SHA-256.

    The key covers stream, organization, bucket, and the names and values of the dimensions, in any
    order. Null, "" and a missing dimension are different. Metrics are not part of the key, so a
    restated row keeps its key.
    """

    def __init__(
        self,
        stream: str,
        organization: tuple[str, str],
        starting_at: str,
        bucket_width: str,
        dimensions: Iterable[str],
    ) -> None:
        """Hash the values that all rows of the bucket share; ``organization`` is (type, id)."""
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
