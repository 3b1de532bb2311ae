"""Convert rows of the API to flat records: column names and values.

A schema is compiled once; no I/O.
"""

from __future__ import annotations

import decimal
import functools
import re
from typing import TYPE_CHECKING, Any

from tap_claude.errors import StreamError
from tap_claude.money import DECIMAL_FORMAT, add_amounts, cents_to_dollars, parse_amount
from tap_claude.windows import format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Record = dict[str, Any]

# Marks the columns of a schema that identify a person: name, e-mail or IP address, user agent.
PERSON = "x-person"
# Marks the objects of a schema that can contain addresses, IP addresses and user agents.
PERSONAL_OBJECT = "x-personal-object"

# -- column names


# Wrapper objects that are left out of column names; the first set only at the top of a row.
ROW_WRAPPERS = frozenset({"group", "usage", "cost"})
WRAPPERS = frozenset({"server_tool_use", "core_metrics"})


@functools.cache
def column_name(path: tuple[str, ...]) -> str:
    """Return the column name of a field, from its path in the row."""
    names = path[1:] if len(path) > 1 and path[0] in ROW_WRAPPERS else path
    parts = [
        re.sub(r"^chat_cowork_unified", "unified", name).removesuffix("_metrics")
        for name in names
        if name not in WRAPPERS
    ]
    return "_".join(parts)


# -- values


class SchemaMismatchError(StreamError):
    """A value of the API that does not fit its column."""

    def __init__(self, column: str, expected: str, value: object) -> None:
        """Name the column, the expected type and the value (shortened and escaped)."""
        expectation = f"field '{column}' should be {expected}"
        super().__init__(f"{expectation}, but is {value!a:.60}")
        self.without_value = f"{expectation}, but is a {type(value).__name__}"


MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1
"""Range of a target's 64-bit integer column."""
_MAX_DIGITS = 40  # 1e999999999 is a valid number too, and would exhaust the memory


def _integer(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif (
        isinstance(value, decimal.Decimal)
        and value.adjusted() < _MAX_DIGITS
        and value == value.to_integral_value()
    ):
        number = int(value)  # 5.0 is an integer in JSON Schema, but not to targets
    else:
        raise TypeError
    if not MIN_INTEGER <= number <= MAX_INTEGER:
        raise ValueError
    return number


def _number(value: object) -> float:
    if isinstance(value, (int, decimal.Decimal)) and not isinstance(value, bool):
        return float(value)  # for rates; money is text
    raise TypeError


def _string(value: object) -> str:
    if isinstance(value, str):
        return value
    raise TypeError


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise TypeError


def _object(value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise TypeError


def _array(value: object) -> list[Any]:
    if isinstance(value, list):
        return value
    raise TypeError


@functools.lru_cache(maxsize=4096)
def _date_time(value: object) -> str:
    return format_time(parse_time(_string(value)))


def _date(value: object) -> str:
    return _date_time(value)[:10]


_CONVERTERS: dict[tuple[str, str | None], tuple[Callable[[Any], Any], str]] = {
    ("string", DECIMAL_FORMAT): (_string, "a decimal as text"),
    ("integer", None): (_integer, "an integer of at most 64 bits"),
    ("string", None): (_string, "a string"),
    ("string", "date-time"): (_date_time, "an RFC 3339 time"),
    ("string", "date"): (_date, "a date"),
    ("number", None): (_number, "a number"),
    ("boolean", None): (_boolean, "a boolean"),
    ("object", None): (_object, "an object"),
    ("array", None): (_array, "a list"),
}


# How a field of the API is converted:
# * the class of values that need no conversion,
# * the column,
# * the converter of other values; None if the schema has no such column,
# * whether an object is not flattened,
# * the fields of an object that is flattened.
# A plain tuple: a named tuple takes twice as long to unpack.
_Field = tuple["type | None", str, "Callable[[Any], Any] | None", bool, "_Fields"]


class _Fields:
    """The known fields of an object, and its path in the row."""

    __slots__ = ("by_name", "path")

    def __init__(self, path: tuple[str, ...] = ()) -> None:
        self.path = path
        self.by_name: dict[str, _Field] = {}


_NO_CONVERSION: dict[Callable[[Any], Any], type] = {
    _string: str,
    _integer: int,
    _boolean: bool,
    _object: dict,
    _array: list,
}


class Columns:
    """The columns of a schema; converts rows of the API into records that match it exactly."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Compile a schema: type, format and name of a column determine its converter."""
        self.names: tuple[str, ...] = tuple(schema["properties"])
        self.counters: list[str] = []
        self.objects: frozenset[str] = frozenset()
        self.money: dict[str, str] = {}
        self.persons: list[str] = []
        """Columns that contain the name or e-mail address of a person."""
        self.personal_objects: list[str] = []
        """Columns with objects that can contain addresses, IP addresses and user agents."""
        self.unknown: set[str] = set()
        """Columns that rows have values for, but that are missing from the schema."""
        self._empty: Record = dict.fromkeys(self.names)
        self._fields = _Fields()
        self._convert: dict[str, tuple[Callable[[Any], Any], str]] = {}
        for name, spec in schema["properties"].items():
            kind = next(kind for kind in _types(spec) if kind != "null")
            if spec.get(PERSON):
                self.persons.append(name)
            if spec.get(PERSONAL_OBJECT):
                self.personal_objects.append(name)
            cents = _cents_column(name, schema["properties"])
            if spec.get("format") == DECIMAL_FORMAT and cents in schema["properties"]:
                self.money[name] = cents
                continue
            self._convert[name] = _CONVERTERS[kind, spec.get("format")]
            if kind == "integer":
                self.counters.append(name)
            if kind == "object":
                self.objects |= {name}
        for cents in self.money.values():
            self._convert[cents] = (parse_amount, "a decimal amount in cents")
        self._prices = [
            (dollars, cents, _currency_column(cents, self.names))
            for dollars, cents in self.money.items()
        ]

    def conform(self, row: Mapping[str, Any]) -> Record:
        """Flatten a row into a record with every column except dollars; missing values are null.

        Names of nested objects are joined with ``_``. Lists, and objects that have a column, are
        kept unchanged. If two fields share a column (variants of a union), a value takes
        precedence over null. Fields without a column are left out and added to `unknown`. Raises
        `SchemaMismatchError` for a value that does not fit its column.
        """
        record = self._empty.copy()
        self._fill(record, row, self._fields)
        return record

    def _fill(self, record: Record, fields: Mapping[str, Any], known: _Fields) -> None:
        # The hottest loop of the tap: each field name is resolved once, not once per row.
        by_name = known.by_name
        for name, value in fields.items():
            if value is None:
                continue
            try:
                kind, column, convert, is_opaque, inner = by_name[name]
            except KeyError:
                by_name[name] = self._field((*known.path, name))
                kind, column, convert, is_opaque, inner = by_name[name]
            if value.__class__ is kind:
                if kind is int and not MIN_INTEGER <= value <= MAX_INTEGER:  # type: ignore[operator]
                    raise self._wrong(column, value)
                record[column] = value
            elif value.__class__ is dict and not is_opaque:
                self._fill(record, value, inner)
            elif convert is None:
                self.unknown.add(column)
            else:
                try:
                    record[column] = convert(value)
                except (TypeError, ValueError) as error:
                    raise self._wrong(column, value) from error

    def _wrong(self, column: str, value: object) -> SchemaMismatchError:
        return SchemaMismatchError(column, self._convert[column][1], value)

    def _field(self, path: tuple[str, ...]) -> _Field:
        column = column_name(path)
        convert, _ = self._convert.get(column, (None, ""))
        kind = None if convert is None else _NO_CONVERSION.get(convert)
        # A dollar column is not a nested field of its cents column.
        opens = convert is None or any(name.startswith(f"{column}_") for name in self._convert)
        is_opaque = column in self.objects or not opens
        return kind, column, convert, is_opaque, _Fields(path)

    def add_dollars(self, record: Record) -> None:
        """Compute the dollar columns from cents; null unless the currency is USD."""
        for dollars, cents, currency in self._prices:
            amount = record[cents]
            if amount is not None and record[currency] == "USD":
                record[dollars] = cents_to_dollars(amount)

    def merge(self, into: Record, other: Mapping[str, Any]) -> None:
        """Merge a row with the same key: counters and amounts are summed exactly.

        A sum is null only if all its parts are null. Of two different labels, the greater one is
        kept, so that the result does not depend on the order of the rows.
        """
        for name in self.names:
            left, right = into[name], other[name]
            if left is None or right is None:
                into[name] = right if left is None else left
            elif name in self.counters:
                into[name] = left + right
                if not MIN_INTEGER <= into[name] <= MAX_INTEGER:
                    raise self._wrong(name, into[name])
            elif name in self.money.values():
                into[name] = add_amounts(left, right)
            elif name in self.objects:
                into[name] = _add_maps(left, right)
            elif left != right:
                into[name] = max(left, right, key=repr)


def _add_maps(left: Record, right: Record) -> Record:
    """Add the counters of two nested maps; other values are merged as in `Columns.merge`."""
    total = dict(left)
    for name, value in right.items():
        if isinstance(value, dict) and isinstance(total.get(name), dict):
            total[name] = _add_maps(total[name], value)
        elif type(value) is int and type(total.get(name)) is int:
            total[name] += value
        elif name not in total or repr(value) > repr(total[name]):
            total[name] = value
    return total


def _types(spec: Mapping[str, Any]) -> Sequence[str]:
    kind = spec["type"]
    return [kind] if isinstance(kind, str) else kind


def _cents_column(dollars: str, columns: Iterable[str]) -> str:
    """Return `amount` for `amount_usd`, `estimated_cost_amount` for `estimated_cost_usd`."""
    stem = dollars.removesuffix("_usd")
    return stem if stem in columns else f"{stem}_amount"


def _currency_column(cents: str, columns: Iterable[str]) -> str:
    """Return `estimated_cost_currency` for `estimated_cost_amount`; others share `currency`."""
    stem = cents
    while (stem := stem.rpartition("_")[0]) and f"{stem}_currency" not in columns:
        pass
    return f"{stem}_currency" if stem else "currency"
