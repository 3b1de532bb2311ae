"""From rows of the API to flat records: column names, row keys, money, merging.

Pure functions and one compiled description of a schema; no I/O.
"""

from __future__ import annotations

import decimal
import functools
import hashlib
import operator
import re
from typing import TYPE_CHECKING, Any

import msgspec

from tap_claude.windows import format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Record = dict[str, Any]

# How a dollar column is described: exact in the warehouses that know it, exact text elsewhere.
DECIMAL_FORMAT = "x-singer.decimal"
DECIMAL_PRECISION = 38
DECIMAL_SCALE = 18

# Marks the columns of a schema that hold the name or the e-mail address of a person.
PERSON = "x-person"

# ---------------------------------------------------------------------------------------------
# Columns


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


# ---------------------------------------------------------------------------------------------
# Values


class WrongValueError(ValueError):
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
            self._convert[cents] = (_amount, "a decimal amount in cents")
        self._prices = [
            (dollars, cents, _currency_column(cents, self.names))
            for dollars, cents in self.money.items()
        ]

    def conform(self, row: Mapping[str, Any]) -> Record:
        """Flatten a row: every column of the schema but dollars, missing ones as null.

        Nested objects join with ``_``; lists, and objects that have a column, stay as they are.
        Where two fields share a column (variants of a union), a value beats null. What has no
        column is left out, and noted in `unknown`. Raises `WrongValueError` for a value that its
        column cannot hold.
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

    def _wrong(self, column: str, value: object) -> WrongValueError:
        return WrongValueError(column, self._convert[column][1], value)

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


# ---------------------------------------------------------------------------------------------
# Money (docs, cost_report: decimal strings in cents)

_AMOUNT = re.compile(r"-?[0-9]+(\.[0-9]+)?(?P<exponent>[eE][+-]?[0-9]{1,3})?", re.ASCII)
_PLAIN = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII).fullmatch
# Exact or an error: money is never rounded by a context that happens to be the default.
_EXACT = decimal.Context(
    prec=decimal.MAX_PREC,
    Emax=decimal.MAX_EMAX,
    Emin=decimal.MIN_EMIN,
    traps=[decimal.Inexact, decimal.InvalidOperation],
)
_LEAST_DOLLARS = decimal.Decimal(1).scaleb(-DECIMAL_SCALE)
_ROUND = decimal.Context(
    prec=decimal.MAX_PREC, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN, traps=[]
)


def _amount(value: object) -> str:
    """Pass a plain decimal string through untouched; a JSON number becomes one."""
    if value.__class__ is str and _PLAIN(value):
        return value
    if isinstance(value, (int, decimal.Decimal)) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and (match := _AMOUNT.fullmatch(value)):
        return format(decimal.Decimal(value), "f") if match["exponent"] else value
    raise TypeError


def add_amounts(left: str, right: str) -> str:
    """Exact sum of two decimal strings, without an exponent."""
    return _plain(_EXACT.add(decimal.Decimal(left), decimal.Decimal(right)))


def sum_amounts(amounts: Iterable[str]) -> str:
    """Exact sum of decimal strings, without an exponent; "0" if there are none."""
    total = decimal.Decimal(0)
    for amount in amounts:
        total = _EXACT.add(total, decimal.Decimal(amount))
    return _plain(total)


def cents_to_dollars(cents: str) -> str:
    """Exact dollars of an amount in cents, half-even at the 18th decimal, without an exponent."""
    whole, _, fraction = cents.partition(".")
    # The common case, by moving the point; all others the long way.
    if (
        len(fraction) <= DECIMAL_SCALE - 2
        and len(whole) >= 3  # noqa: PLR2004  # a dollar at least
        and whole[0] != "0"
        and whole.isdigit()
        and (not fraction or fraction.isdigit())
    ):
        return f"{whole[:-2]}.{whole[-2:]}{fraction}"
    dollars = _EXACT.scaleb(decimal.Decimal(cents), -2)
    exponent = dollars.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -DECIMAL_SCALE:
        dollars = dollars.quantize(_LEAST_DOLLARS, decimal.ROUND_HALF_EVEN, context=_ROUND)
    return _plain(dollars)


def _plain(amount: decimal.Decimal) -> str:
    return format(abs(amount) if amount.is_zero() else amount, "f")


# ---------------------------------------------------------------------------------------------
# Row keys

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


# ---------------------------------------------------------------------------------------------
# Rows whose shape is not their record's


def with_tools(row: Record, known: Iterable[str]) -> Record:
    """Give the tools that have columns to them, and all others to ``other_tool_actions``."""
    tools = _object_of(row, "tool_actions")
    columns = {name: actions for name, actions in tools.items() if name in known}
    others = {name: actions for name, actions in tools.items() if name not in known}
    rest = {name: value for name, value in row.items() if name != "tool_actions"}
    return {**rest, **columns, "other_tool_actions": others or None}


def per_model(row: Record, shared: Iterable[str]) -> list[Record]:
    """Give each model of a Claude Code row a row of its own, with what identifies the parent."""
    parent = {name: row.get(name) for name in shared}
    return [{**parent, **entry} for entry in _objects_of(row, "model_breakdown")]


def per_limiter(row: Record) -> list[Record]:
    """Give each limiter of a rate-limit group a row of its own (docs: rate-limits-api).

    Before 2026-10-21 the group was a ``group_type`` only.
    """
    group = _object_of(row, "group") or {"type": row.get("group_type")}
    rest = {n: v for n, v in row.items() if n not in {"group", "group_type", "limits"}}
    return [
        {**rest, **_prefixed("group", group), **_prefixed("limit", limit)}
        for limit in _objects_of(row, "limits")
    ]


def with_key_owner(row: Record) -> Record:
    """Read owner and scope of an API key in their older shapes too (docs: api/admin/api_keys)."""
    scope, principal = _object_of(row, "scope"), _object_of(row, "principal")
    if "id" in principal:
        kind = str(principal.get("type")).removesuffix("_actor")
        principal = {"type": f"{kind}_actor", f"{kind}_id": principal["id"]}
    workspace = scope.get("workspace_id") or row.get("workspace_id")
    return {**row, "principal": principal or None, "workspace_id": workspace}


def with_group_roles(row: Record) -> Record:
    """Read the roles of an RBAC group under their older name too; null means unknown."""
    roles = row.get("role_ids", row.get("roles"))
    if isinstance(roles, list):
        roles = [role.get("id") if isinstance(role, dict) else role for role in roles]
    return {**{name: value for name, value in row.items() if name != "roles"}, "role_ids": roles}


def with_role_name(row: Record) -> Record:
    """Read the name of an RBAC role in its older field too."""
    rest = {name: value for name, value in row.items() if name != "name"}
    return {**rest, "display_name": row.get("display_name") or row.get("name")}


def with_address(row: Record) -> Record:
    """Read the actor's e-mail address under its older name too."""
    actor = row.get("actor")
    if not isinstance(actor, dict) or "email" not in actor:
        return row
    rest = {name: value for name, value in actor.items() if name != "email"}
    return {**row, "actor": {"email_address": actor["email"], **rest}}


def with_geo_list(row: Record) -> Record:
    """Make ``allowed_inference_geos`` a list, also where the API says "unrestricted"."""
    residency = _object_of(row, "data_residency")
    geos = residency.get("allowed_inference_geos")
    if isinstance(geos, str):
        return {**row, "data_residency": {**residency, "allowed_inference_geos": [geos]}}
    return row


def _object_of(row: Record, name: str) -> Record:
    """Return an object of a row; an empty one for null. Raises `WrongValueError`."""
    value = row.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise WrongValueError(name, "an object", value)
    return value


def _objects_of(row: Record, name: str) -> list[Record]:
    """Return a list of objects of a row; an empty one for null. Raises `WrongValueError`."""
    value = row.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise WrongValueError(name, "a list of objects", value)
    return value


def _prefixed(prefix: str, fields: Mapping[str, Any]) -> Record:
    return {f"{prefix}_{name}": value for name, value in fields.items()}
