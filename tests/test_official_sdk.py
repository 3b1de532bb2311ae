"""The official SDK as a second reader: its types against our schemas, its rows against ours."""

from __future__ import annotations

import datetime as dt
import json
import types
import typing
from collections.abc import Callable, Iterable
from importlib import resources
from typing import Any

import anthropic
import pytest
from anthropic.types import organization as official
from anthropic.types.organization import federation, workspaces
from pydantic import BaseModel

from simulator.server import ACCESS_TOKEN, ADMIN_KEY
from tap_claude import schemas
from tests.conftest import NOW, settings

TYPES: dict[str, type[BaseModel]] = {
    "workspaces": official.Workspace,
    "workspace_members": official.WorkspaceMember,
    "workspace_rate_limits": workspaces.WorkspaceRateLimit,
    "users": official.OrganizationUser,
    "invites": official.OrganizationInvite,
    "api_keys": official.APIKey,
    "rate_limits": official.OrganizationRateLimit,
    "external_keys": official.ExternalKey,
    "service_accounts": official.ServiceAccount,
    "service_account_workspaces": official.ServiceAccountWorkspaceMember,
    "federation_issuers": federation.FederationIssuer,
    "federation_rules": federation.FederationRule,
}
"""The type of a row, for each stream that the SDK covers."""

NO_COLUMN: dict[tuple[str, str], str] = {}
"""Fields that are no columns, and why. Empty so far: every field is a column."""

PER_ROW = {"limits": "limit"}
"""Lists that become rows of their own, and the prefix of their columns."""


SCALARS = {str: "string", int: "integer", bool: "boolean", dt.datetime: "date-time"}

Shapes = dict[str, tuple[set[str], bool]]
"""Column -> (JSON kinds, nullable)."""


def united(parts: Iterable[Shapes], *, nullable: bool = False) -> Shapes:
    """Put the columns of several types together; variants share columns of one name."""
    found: Shapes = {}
    for part in parts:
        for column, (kinds, null) in part.items():
            before, was = found.get(column, (set(), False))
            found[column] = (before | kinds, was or null or nullable)
    return found


def fields_of(kind: Any, name: str) -> Shapes:
    """Walk an annotation, through unions and objects, down to what columns hold."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return fields_of(arguments[0], name)
    if origin in {typing.Union, types.UnionType}:
        options = [option for option in arguments if option is not type(None)]
        optional = len(options) < len(arguments)
        return united((fields_of(option, name) for option in options), nullable=optional)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return united(
            fields_of(info.annotation, "_".join(filter(None, (name, info.alias or field))))
            for field, info in kind.model_fields.items()
        )
    if origin is list and name in PER_ROW:
        return fields_of(arguments[0], PER_ROW[name])
    plain = {list: "array", dict: "object", typing.Literal: "string"}.get(origin)
    return {name: ({plain or SCALARS[kind]}, False)}


@pytest.mark.parametrize("stream", TYPES)
def test_every_field_of_the_official_type_is_a_column(stream: str) -> None:
    text = resources.files(schemas).joinpath(f"{stream}.json").read_text(encoding="utf-8")
    properties = json.loads(text)["properties"]
    for column, (theirs, nullable) in fields_of(TYPES[stream], "").items():
        if (stream, column) in NO_COLUMN:
            assert column not in properties
            continue
        assert column in properties, f"{stream}: the SDK has a field that is no column: {column}"
        spec = properties[column]
        ours = {spec.get("format") or kind for kind in spec["type"] if kind != "null"}
        if isinstance(spec["type"], str):
            ours = {spec["type"]}
            assert not nullable, f"{stream}.{column} can be null, but is a key"
        # "unrestricted" or a list of regions: always a list here
        kinds = {"array"} if theirs == {"array", "string"} else theirs
        assert kinds == ours, f"{stream}.{column}"


def test_the_walk_sees_unions_lists_and_maps() -> None:
    found = fields_of(official.APIKey, "")
    assert found["scope_workspace_id"] == ({"string"}, False)
    assert found["principal_user_id"] == ({"string"}, True)
    assert fields_of(official.Workspace, "")["tags"] == ({"object"}, False)
    assert fields_of(official.OrganizationRateLimit, "")["limit_value"] == ({"integer"}, False)


Lists = dict[str, Callable[[anthropic.Anthropic], Iterable[Any]]]

READERS: Lists = {
    "organization": lambda c: [c.organization.retrieve()],
    "workspaces": lambda c: c.organization.workspaces.list(
        include_archived=True, include_default=True, limit=1000
    ),
    "workspace_members": lambda c: (
        member
        for workspace in READERS["workspaces"](c)
        for member in c.organization.workspaces.members.list(workspace.id, limit=1000)
    ),
    "workspace_rate_limits": lambda c: (
        limit
        for workspace in READERS["workspaces"](c)
        for limit in c.organization.workspaces.rate_limits.list(workspace.id)
    ),
    "users": lambda c: c.organization.users.list(limit=1000),
    "invites": lambda c: c.organization.invites.list(limit=1000),
    "api_keys": lambda c: c.organization.api_keys.list(limit=1000),
    "rate_limits": lambda c: c.organization.rate_limits.list(),
    "external_keys": lambda c: c.organization.external_keys.list(),
    "service_accounts": lambda c: c.organization.service_accounts.list(include_archived=True),
    "service_account_workspaces": lambda c: (
        place
        for account in READERS["service_accounts"](c)
        for place in c.organization.service_accounts.workspaces.list(account.id)
    ),
    "federation_issuers": lambda c: c.organization.federation.issuers.list(include_archived=True),
    "federation_rules": lambda c: c.organization.federation.rules.list(include_archived=True),
}


def leaves(value: dict[str, Any], name: str = "") -> dict[str, Any]:
    """Flatten a row of the SDK without the tap's own code."""
    flat: dict[str, Any] = {}
    for key, part in value.items():
        column = f"{name}_{key}" if name else key
        if isinstance(part, dict) and column not in {"tags", "match_claims"}:
            flat |= leaves(part, column)
        else:
            flat[column] = part
    return flat


def expected(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the records that a row of the SDK should be."""
    limits = row.pop("limits", None)
    base = leaves(row)
    geos = base.get("data_residency_allowed_inference_geos")
    if isinstance(geos, str):
        base["data_residency_allowed_inference_geos"] = [geos]
    if limits is None:
        return [base]
    return [{**base, **leaves(limit, "limit")} for limit in limits]


def comparable(record: dict[str, Any], columns: Iterable[str]) -> str:
    """Print a record in one way, times without their form."""

    def plain(name: str, value: Any) -> Any:
        if name.endswith("_at") and value is not None:
            return dt.datetime.fromisoformat(str(value)).timestamp()
        return value

    return json.dumps({name: plain(name, record.get(name)) for name in columns}, sort_keys=True)


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
def test_all_streams_equal_what_the_official_sdk_reads(
    simulate: Any, tap: Any, version: str
) -> None:
    simulator = simulate(days=3, now=NOW)
    config = settings(
        simulator, access_token=ACCESS_TOKEN, start_date="2026-03-20", anthropic_version=version
    )
    run = tap(config=config)
    assert run.code == 0, run.stderr
    client = anthropic.Anthropic(base_url=simulator.url, api_key=ADMIN_KEY)
    token = anthropic.Anthropic(base_url=simulator.url, auth_token=ACCESS_TOKEN)
    for stream, read in READERS.items():
        oauth_only = stream.startswith(("service", "federation"))
        rows = [
            json.loads(row.model_dump_json(by_alias=True, exclude_unset=True))
            for row in read(token if oauth_only else client)
        ]
        ours = run.records(stream)
        theirs = [record for row in rows for record in expected(row)]
        columns = [c for c in {c for r in theirs for c in r} if "tomorrow" not in c]
        assert theirs, stream
        assert sorted(comparable(r, columns) for r in ours) == sorted(
            comparable(r, columns) for r in theirs
        ), stream
        keys = run.schemas[stream]["key_properties"]
        assert len({tuple(r[k] for k in keys) for r in ours}) == len(ours)
