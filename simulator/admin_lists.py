"""The Admin API's lists: filters, both kinds of pagination, and API versions."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulator import rate_limits
from simulator.console_reports import Call
from simulator.directory import INVITE_STATUSES, KEY_STATUSES, Directory, Row
from simulator.organization import DEFAULT_WORKSPACE
from simulator.query import ApiError, Query, cursor, invalid, position
from simulator.rate_limits import GROUP_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

OLD_VERSION = "2023-06-01"


@dataclass(frozen=True, kw_only=True)
class ListCall(Call):
    """A request for a list, and the directory with its rows."""

    directory: Directory
    version: str
    parent: str = ""
    """The id in the middle of the path."""
    workspace_id: str = ""
    """Workspace that the key acts on; empty for other kinds of keys."""


def me(call: ListCall) -> Row:
    """Return the response of ``me``."""
    call.query.done()
    return call.directory.me


def users(call: ListCall) -> Row:
    """Return the response of ``users``."""
    return by_id(call.query, call.directory.users, _people(call))


def invites(call: ListCall) -> Row:
    """Return the response of ``invites``."""
    fits = _people(call)
    statuses = call.query.many("statuses", INVITE_STATUSES) or INVITE_STATUSES
    return by_id(
        call.query, call.directory.invites, lambda row: fits(row) and row["status"] in statuses
    )


def workspaces(call: ListCall) -> Row:
    """Return the response of ``workspaces``."""
    query = call.query
    archived, default = query.flag("include_archived"), query.flag("include_default")
    ids = query.many("ids")
    if len(ids) > 100:
        raise invalid("ids[]: List should have at most 100 items")
    return by_id(
        query,
        call.directory.workspaces,
        lambda row: (
            (archived or not row["archived_at"])
            and (default or row["id"] != DEFAULT_WORKSPACE)
            and (not ids or row["id"] in ids)
        ),
    )


def workspace_members(call: ListCall) -> Row:
    """Return the response of ``workspaces/{id}/members``; user ids are the cursors."""
    check_known(call.parent, call.directory.workspaces)
    return by_id(call.query, call.directory.members(call.parent), key="user_id")


def api_keys(call: ListCall) -> Row:
    """Return the response of ``api_keys``."""
    query = call.query
    status = _choice(query, "status", KEY_STATUSES)
    workspace, creator = query.text("workspace_id"), query.text("created_by_user_id")
    page = by_id(
        query,
        call.directory.api_keys,
        lambda row: (
            status in (None, row["status"])
            and workspace in (None, row["scope"].get("workspace_id"))
            and creator in (None, (row["created_by"] or {}).get("id"))
        ),
    )
    if call.version == OLD_VERSION:
        page["data"] = [_old_key(row) for row in page["data"]]
    return page


def organization_rate_limits(call: ListCall) -> Row:
    """Return the response of ``rate_limits``."""
    rows = call.directory.rate_limits
    if model := call.query.text("model"):
        rows = [row for row in rows if model in (row["models"] or ())]
        if not rows:
            raise not_found(model)
    return _limits(call, rows)


def workspace_rate_limits(call: ListCall) -> Row:
    """Return the response of ``workspaces/{id}/rate_limits``."""
    check_known(call.parent, call.directory.workspaces)
    inherited = call.query.flag("include_inherited")
    return _limits(call, rate_limits.of_workspace(call.directory, call.parent, inherited=inherited))


def external_keys(call: ListCall) -> Row:
    """Return the response of ``external_keys``."""
    return by_cursor(call.query, call.directory.external_keys)


def service_accounts(call: ListCall) -> Row:
    """Return the response of ``service_accounts``."""
    return by_cursor(call.query, unarchived(call.query, call.directory.service_accounts))


def service_account_workspaces(call: ListCall) -> Row:
    """Return the response of ``service_accounts/{id}/workspaces``."""
    check_known(call.parent, call.directory.service_accounts)
    rows = call.directory.memberships(call.parent)
    limit = call.query.integer("limit", 20, 1, 100)
    # A cursor never points to an implicit membership, so that it is never alone on a page.
    first = 2 if limit == 1 and rows and rows[0]["implicit"] else limit
    return cursor_page(call.query, rows, limit, first)


def federation_issuers(call: ListCall) -> Row:
    """Return the response of ``federation_issuers``."""
    return by_cursor(call.query, unarchived(call.query, call.directory.federation_issuers))


def federation_rules(call: ListCall) -> Row:
    """Return the response of ``federation_rules``."""
    rows = unarchived(call.query, call.directory.federation_rules)
    if issuer := call.query.text("issuer_id"):
        rows = [row for row in rows if row["issuer_id"] == issuer]
    return by_cursor(call.query, rows)


def by_id(
    query: Query,
    rows: list[Row],
    fits: Callable[[Row], bool] = lambda _: True,
    key: str = "id",
    *,
    default: int = 20,
    least: int = 1,
    most: int = 1000,
) -> Row:
    """Return the page of rows after or before an id; a limit of 0 is the default."""
    limit = query.integer("limit", default, least, most) or default
    after, before = query.text("after_id"), query.text("before_id")
    query.done()
    if after and before:
        raise invalid("Only one of before_id and after_id can be specified.")
    rest: Iterable[Row] = rows
    if edge := after or before:
        place = next((place for place, row in enumerate(rows) if row[key] == edge), None)
        if place is None:
            raise invalid(f"{'after_id' if after else 'before_id'}: {edge} not found")
        rest = rows[place + 1 :] if after else reversed(rows[:place])
    found = list(itertools.islice(filter(fits, rest), limit + 1))
    data = found[:limit]
    if before:
        data.reverse()
    return {
        "data": data,
        "has_more": len(found) > limit,
        "first_id": data[0][key] if data else None,
        "last_id": data[-1][key] if data else None,
    }


def by_cursor(query: Query, rows: list[Row]) -> Row:
    """Return a page of an endpoint that the docs limit to 100 rows."""
    return cursor_page(query, rows, query.integer("limit", 20, 1, 100))


def cursor_page(query: Query, rows: list[Row], limit: int, first: int | None = None) -> Row:
    """Return a page with a cursor; the second page is empty, but not the last one."""
    at = position(query)
    query.done()
    start, number = at.get("start", 0), at.get("number", 0)
    end = start + {0: first or limit, 1: 0}.get(number, limit)
    following = {"start": end, "number": number + 1}
    return {
        "data": rows[start:end],
        "next_page": cursor(query, following) if end < len(rows) else None,
    }


def _limits(call: ListCall, rows: list[Row]) -> Row:
    query = call.query
    group_type = _choice(query, "group_type", GROUP_TYPES)
    rows = [row for row in rows if group_type in (None, row["group"]["type"])]
    # Without a limit, there is a single page.
    page = cursor_page(query, rows, query.integer("limit", len(rows), 1, 1000))
    if call.version == OLD_VERSION:
        page["data"] = [{**row, "group_type": row["group"]["type"]} for row in page["data"]]
    return page


def _people(call: ListCall) -> Callable[[Row], bool]:
    """Return the filters that users and invites share."""
    roles = call.query.many("roles", call.directory.roles)
    email = call.query.text("email")
    return lambda row: (
        (not roles or row["role"] in roles)
        and (email is None or _normal(row["email"]) == _normal(email))
    )


def _normal(email: str) -> str:
    """Normalize an address: lowercase, and without the part after a plus sign."""
    name, _, domain = email.lower().partition("@")
    return f"{name.partition('+')[0]}@{domain}"


def unarchived(query: Query, rows: list[Row]) -> list[Row]:
    """Return the rows that are not archived, or all if the query includes archived ones."""
    if query.flag("include_archived"):
        return rows
    return [row for row in rows if not row["archived_at"]]


def _choice(query: Query, name: str, allowed: Collection[str]) -> str | None:
    return query.choice(name, allowed, "") if query.text(name) else None


def check_known(id_: str, rows: list[Row]) -> None:
    """Reject an unknown id."""
    if all(row["id"] != id_ for row in rows):
        raise not_found(id_)


def not_found(what: str) -> ApiError:
    """Return a 404."""
    return ApiError(404, "not_found_error", f"Not found: {what}")


def _old_key(row: Row) -> Row:
    """Return a key in the format of API version 2023-06-01."""
    scope, principal = row["scope"], row["principal"]
    workspace: Any = scope.get("workspace_id")
    # The principal of old keys has its old shape, too.
    if principal and principal["type"] == "user_actor" and row["created_at"] < "2025":
        principal = {"id": principal["user_id"], "type": "user"}
    return {
        **row,
        "principal": principal,
        # null: scope is the organization, or its default workspace
        "workspace_id": None if workspace == DEFAULT_WORKSPACE else workspace,
    }
