"""From rows of the API to flat records: column names and values.

One compiled description of a schema; no I/O.
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

# Marks the columns of a schema that hold the name or the e-mail address of a person.
PERSON = "x-person"

# -- column names


# Wrappers that say nothing, dropped from column names: the first set only around a whole row.
ROW_WRAPPERS = frozenset({"group", "usage", "cost"})
WRAPPERS = frozenset({"server_tool_use", "core_metrics"})


@functools.cache
def column_name(path: tuple[str, ...]) -> str:
    """Name the column of a field, from the names of the objects around it."""
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
        """Name the column, what it takes and (shortened, escaped) what came."""
        needed = f"field '{column}' should be {expected}"
        super().__init__(f"{needed}, but is {value!a:.60}")
        self.without_value = f"{needed}, but is a {type(value).__name__}"


LEAST_INTEGER, MOST_INTEGER = -(2**63), 2**63 - 1
"""What a target's 64-bit integer column can hold."""
_MOST_DIGITS = 40  # 1e999999999 is a number too, and would fill the memory


def _integer(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif (
        isinstance(value, decimal.Decimal)
        and value.adjusted() < _MOST_DIGITS
        and value == value.to_integral_value()
    ):
        number = int(value)  # 5.0 is an integer in JSON, not to targets
    else:
        raise TypeError
    if not LEAST_INTEGER <= number <= MOST_INTEGER:
        raise ValueError
    return number


def _number(value: object) -> float:
    if isinstance(value, (int, decimal.Decimal)) and not isinstance(value, bool):
        return float(value)  # rates and the like; money is text
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


# What becomes of a field of the API, wherever it stands in a row:
# * the class of the values that are taken as they are,
# * the column,
# * the maker of other values; None where the schema has no such column,
# * whether an object is taken, or refused, as it is, and not looked into,
# * the fields of an object that is.
# A plain tuple: one with names takes twice as long to unpack.
_Field = tuple["type | None", str, "Callable[[Any], Any] | None", bool, "_Fields"]


class _Fields:
    """The fields of an object, as far as they have been seen, and where the object stands."""

    __slots__ = ("by_name", "path")

    def __init__(self, path: tuple[str, ...] = ()) -> None:
        self.path = path
        self.by_name: dict[str, _Field] = {}


_AS_THEY_ARE: dict[Callable[[Any], Any], type] = {
    _string: str,
    _integer: int,
    _boolean: bool,
    _object: dict,
    _array: list,
}


class Columns:
    """The columns of a schema, ready to turn rows of the API into records that fit it exactly."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Read a schema file: what each column holds follows from its type, format and name."""
        self.names: tuple[str, ...] = tuple(schema["properties"])
        self.counters: list[str] = []
        self.whole: frozenset[str] = frozenset()
        self.money: dict[str, str] = {}
        self.persons: list[str] = []
        """Columns for the name or the e-mail address of a person."""
        self.unknown: set[str] = set()
        """Columns that rows had values for, but the schema does not have."""
        self._empty: Record = dict.fromkeys(self.names)
        self._fields = _Fields()
        self._convert: dict[str, tuple[Callable[[Any], Any], str]] = {}
        for name, spec in schema["properties"].items():
            kind = next(kind for kind in _types(spec) if kind != "null")
            if spec.get(PERSON):
                self.persons.append(name)
            cents = _cents_column(name, schema["properties"])
            if spec.get("format") == DECIMAL_FORMAT and cents in schema["properties"]:
                self.money[name] = cents
                continue
            self._convert[name] = _CONVERTERS[kind, spec.get("format")]
            if kind == "integer":
                self.counters.append(name)
            if kind == "object":
                self.whole |= {name}
        for cents in self.money.values():
            self._convert[cents] = (parse_amount, "a decimal amount in cents")
        self._prices = [
            (dollars, cents, _currency_column(cents, self.names))
            for dollars, cents in self.money.items()
        ]

    def conform(self, row: Mapping[str, Any]) -> Record:
        """Flatten a row: every column of the schema but dollars, missing ones as null.

        Nested objects join with ``_``; lists, and objects that have a column, stay as they are.
        Where two fields share a column (variants of a union), a value beats null. What has no
        column is left out, and noted in `unknown`. Raises `SchemaMismatchError` for a value that
        its column cannot hold.
        """
        record = self._empty.copy()
        self._fill(record, row, self._fields)
        return record

    def _fill(self, record: Record, fields: Mapping[str, Any], known: _Fields) -> None:
        # The hottest loop of the tap: what a name means is looked up once, not once per row.
        by_name = known.by_name
        for name, value in fields.items():
            if value is None:
                continue
            try:
                kind, column, convert, whole, inner = by_name[name]
            except KeyError:
                by_name[name] = self._field((*known.path, name))
                kind, column, convert, whole, inner = by_name[name]
            if value.__class__ is kind:
                if kind is int and not LEAST_INTEGER <= value <= MOST_INTEGER:  # type: ignore[operator]
                    raise self._wrong(column, value)
                record[column] = value
            elif value.__class__ is dict and not whole:
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
        kind = None if convert is None else _AS_THEY_ARE.get(convert)
        # A dollar column is not a field of its cents.
        opens = convert is None or any(name.startswith(f"{column}_") for name in self._convert)
        whole = column in self.whole or not opens
        return kind, column, convert, whole, _Fields(path)

    def add_dollars(self, record: Record) -> None:
        """Fill the dollar columns from their cents; null unless the currency is USD."""
        for dollars, cents, currency in self._prices:
            amount = record[cents]
            if amount is not None and record[currency] == "USD":
                record[dollars] = cents_to_dollars(amount)

    def merge(self, into: Record, other: Mapping[str, Any]) -> None:
        """Add a row with the same key: counters and amounts are summed exactly.

        A sum is null only if all its parts are. Labels that differ become the greater one, so
        that the result does not depend on the order of the rows.
        """
        for name in self.names:
            left, right = into[name], other[name]
            if left is None or right is None:
                into[name] = right if left is None else left
            elif name in self.counters:
                into[name] = left + right
                if not LEAST_INTEGER <= into[name] <= MOST_INTEGER:
                    raise self._wrong(name, into[name])
            elif name in self.money.values():
                into[name] = add_amounts(left, right)
            elif name in self.whole:
                into[name] = _add_maps(left, right)
            elif left != right:
                into[name] = max(left, right, key=repr)


def _add_maps(left: Record, right: Record) -> Record:
    """Add the counters of two nested maps; what is no counter is kept as in `Columns.merge`."""
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
    """`amount_usd` comes from `amount`, `estimated_cost_usd` from `estimated_cost_amount`."""
    stem = dollars.removesuffix("_usd")
    return stem if stem in columns else f"{stem}_amount"


def _currency_column(cents: str, columns: Iterable[str]) -> str:
    """`estimated_cost_amount` has a currency of its own; `amount` and `list_amount` share one."""
    stem = cents
    while (stem := stem.rpartition("_")[0]) and f"{stem}_currency" not in columns:
        pass
    return f"{stem}_currency" if stem else "currency"
