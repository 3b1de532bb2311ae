"""The simulated Admin API lists: strictness, paging, versions, and the official SDK's types."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import anthropic
import pytest
import requests
from anthropic.lib.credentials import StaticToken
from anthropic.types import OrganizationInfo
from anthropic.types import organization as official
from anthropic.types.organization import federation, workspaces

from simulator import rate_limits
from simulator.directory import Directory
from simulator.organization import DEFAULT_WORKSPACE, Organization
from simulator.server import ACCESS_TOKEN, ADMIN_KEY, ANALYTICS_KEY, OAUTH, Simulator
from tests.conftest import NOW, simulated
from tests.each import each
from tests.simulator.official import differences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pydantic import BaseModel

Pairs = list[tuple[str, str]]

OLD, NEW = "2023-06-01", "2026-10-21"
CURSOR_FAMILY = {
    "workspaces/{id}/rate_limits",
    "rate_limits",
    "external_keys",
    "service_accounts",
    "service_accounts/{id}/workspaces",
    "federation_issuers",
    "federation_rules",
}
ID_FAMILY = {"workspaces", "workspaces/{id}/members", "users", "invites", "api_keys"}
OAUTH_ONLY = {path for path in CURSOR_FAMILY if path.startswith(("service", "federation"))}
PATHS = {"me", *ID_FAMILY, *CURSOR_FAMILY}
EVERYTHING: dict[str, Pairs] = {
    "workspaces": [("include_archived", "true"), ("include_default", "true")],
    "workspaces/{id}/rate_limits": [("include_inherited", "true")],
    "service_accounts": [("include_archived", "true")],
    "federation_issuers": [("include_archived", "true")],
    "federation_rules": [("include_archived", "true")],
}


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with simulated(days=3, now=NOW) as made:
        yield made


def directory(simulator: Simulator) -> Directory:
    return simulator.directories["A"]


def full(path: str, simulator: Simulator) -> str:
    """Fill in the id: an account's with an implicit membership, a workspace's with members."""
    known = directory(simulator)
    if path.startswith("service_accounts"):
        ids = (
            row["id"]
            for row in known.service_accounts
            if len(memberships := known.memberships(row["id"])) > 5 and memberships[0]["implicit"]
        )
    else:
        ids = (row["id"] for row in known.workspaces[1:] if len(known.members(row["id"])) > 5)
    return path.replace("{id}", next(ids))


def get(
    simulator: Simulator,
    path: str,
    *pairs: tuple[str, str],
    key: str = ACCESS_TOKEN,
    version: str = NEW,
) -> requests.Response:
    return requests.get(
        f"{simulator.url}/v1/organizations/{full(path, simulator) if '{' in path else path}",
        params=list(pairs),
        headers={
            "authorization": f"Bearer {key}",
            "anthropic-version": version,
            "anthropic-beta": OAUTH,
        },
        timeout=10,
    )


def pages(
    simulator: Simulator, path: str, *pairs: tuple[str, str], **options: Any
) -> Iterator[dict[str, Any]]:
    """Follow the envelope's cursors."""
    more: Pairs = []
    while True:
        response = get(simulator, path, *pairs, *more, **options)
        assert response.status_code == 200, response.text
        page = response.json()
        yield page
        if page.get("has_more"):
            more = [("after_id", page["last_id"])]
        elif page.get("next_page"):
            more = [("page", page["next_page"])]
        else:
            return


def rows(simulator: Simulator, path: str, *pairs: tuple[str, str], **options: Any) -> list[Any]:
    if path == "me":
        return [get(simulator, path, **options).json()]
    return [row for page in pages(simulator, path, *pairs, **options) for row in page["data"]]


# -- refused queries


LIMITS = {path: 100 if path in OAUTH_ONLY | {"external_keys"} else 1000 for path in PATHS - {"me"}}


@each(
    ("path", "pairs", "says"),
    [
        *((path, [("unknown", "1")], "unknown: Extra inputs") for path in sorted(PATHS)),
        *((path, [("limit", "0")], "limit") for path in LIMITS),
        *((path, [("limit", str(most + 1))], "limit") for path, most in LIMITS.items()),
        *((path, [("page", "page_1")], "page: Extra inputs") for path in ID_FAMILY),
        *((path, [("page", "page_1")], "page: Invalid page token") for path in CURSOR_FAMILY),
        *((path, [("after_id", "x")], "after_id: Extra inputs") for path in CURSOR_FAMILY),
        *((path, [("after_id", "nobody")], "after_id: nobody not found") for path in ID_FAMILY),
        *((path, [("after_id", "x"), ("before_id", "y")], "Only one of") for path in ID_FAMILY),
        ("me", [("limit", "20")], "limit: Extra inputs"),
        ("workspaces", [("include_archived", "yes")], "include_archived"),
        ("workspaces", [("include_default", "1")], "include_default"),
        ("workspaces", [("ids", "x")], "ids: Extra inputs"),
        ("workspaces", [("ids[]", str(number)) for number in range(101)], "at most 100"),
        ("users", [("roles[]", "owner")], "roles[]"),
        ("users", [("roles", "admin")], "roles: Extra inputs"),
        ("invites", [("statuses[]", "deleted")], "statuses[]"),
        ("invites", [("status", "pending")], "status: Extra inputs"),
        ("api_keys", [("status", "deleted")], "status"),
        ("api_keys", [("status[]", "active")], "status[]: Extra inputs"),
        ("api_keys", [("include_archived", "true")], "include_archived: Extra inputs"),
        ("rate_limits", [("group_type", "images")], "group_type"),
        ("rate_limits", [("include_inherited", "true")], "include_inherited: Extra inputs"),
        ("workspaces/{id}/rate_limits", [("model", "x")], "model: Extra inputs"),
        ("external_keys", [("include_archived", "true")], "include_archived: Extra inputs"),
        ("service_accounts", [("include_archived", "all")], "include_archived"),
        ("federation_issuers", [("issuer_id", "x")], "issuer_id: Extra inputs"),
    ],
)
def test_wrong_queries(simulator: Simulator, path: str, pairs: Pairs, says: str) -> None:
    response = get(simulator, path, *pairs)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert says in error["message"]


@each("path", sorted(PATHS))
def test_credentials(simulator: Simulator, path: str) -> None:
    allowed = {
        ACCESS_TOKEN: True,
        ADMIN_KEY: path not in OAUTH_ONLY,
        ANALYTICS_KEY: path in {"users", "invites"},
    }
    for key, fine in allowed.items():
        response = get(simulator, path, key=key)
        assert response.status_code == (200 if fine else 403)
        if not fine:
            assert response.json()["error"]["type"] == "permission_error"
            assert "Needed: ['org:admin']" in response.json()["error"]["message"]


@each(
    ("path", "pairs"),
    [
        ("workspaces/wrkspc_unknown/members", []),
        ("workspaces/wrkspc_unknown/rate_limits", []),
        ("service_accounts/svac_unknown/workspaces", []),
        ("workspaces//members", []),
        ("workspaces/{id}/nothing", []),
        ("users/1/members", []),
        ("users/", []),
        ("rate_limits", [("model", "claude-unknown")]),
    ],
)
def test_missing_rows(simulator: Simulator, path: str, pairs: Pairs) -> None:
    response = get(simulator, path, *pairs)
    assert response.status_code == 404
    assert response.json()["error"]["type"] == "not_found_error"


@each("path", sorted(CURSOR_FAMILY))
def test_cursors_belong_to_their_query(simulator: Simulator, path: str) -> None:
    pairs = EVERYTHING.get(path, [])
    first = get(simulator, path, *pairs, ("limit", "2")).json()
    other = get(simulator, path, *pairs, ("limit", "3"), ("page", first["next_page"]))
    assert other.status_code == 400
    assert other.json()["error"]["message"] == "cursor does not match current query parameters"


# -- paging


def table(simulator: Simulator, path: str) -> list[dict[str, Any]]:
    """Return the rows of a list, without paging."""
    known = directory(simulator)
    id_ = full(path, simulator).split("/")[1] if "{" in path else ""
    if path == "workspaces/{id}/members":
        return known.members(id_)
    if path == "workspaces/{id}/rate_limits":
        return rate_limits.of_workspace(known, id_, inherited=True)
    if path == "service_accounts/{id}/workspaces":
        return known.memberships(id_)
    found: list[dict[str, Any]] = getattr(known, path)
    return found


@each("limit", [None, "1", "3", "100"])
@each("path", sorted(ID_FAMILY | CURSOR_FAMILY))
def test_every_row_is_returned_exactly_once(
    simulator: Simulator, path: str, limit: str | None
) -> None:
    pairs = [*EVERYTHING.get(path, []), *([("limit", limit)] if limit else [])]
    expected = table(simulator, path)
    assert len(expected) > 3
    assert rows(simulator, path, *pairs) == expected


@each("path", sorted(ID_FAMILY))
def test_the_envelope_of_the_id_family(simulator: Simulator, path: str) -> None:
    key = "user_id" if path.endswith("members") else "id"
    found = list(pages(simulator, path, ("limit", "4")))
    assert len(found) > 1
    for page in found:
        assert set(page) == {"data", "has_more", "first_id", "last_id"}
        assert page["first_id"] == page["data"][0][key]
        assert page["last_id"] == page["data"][-1][key]
    assert [page["has_more"] for page in found] == [*(True for _ in found[1:]), False]
    end = get(simulator, path, ("after_id", found[-1]["last_id"])).json()
    assert end == {"data": [], "has_more": False, "first_id": None, "last_id": None}
    # and backwards
    third = get(simulator, path, ("limit", "2"), ("before_id", found[1]["data"][0][key])).json()
    assert third["data"] == found[0]["data"][-2:]
    assert third["has_more"] is True
    start = get(simulator, path, ("limit", "2"), ("before_id", third["first_id"])).json()
    assert start["data"] == found[0]["data"][:2]
    assert start["has_more"] is False


@each("path", sorted(CURSOR_FAMILY))
def test_an_empty_page_is_not_the_end(simulator: Simulator, path: str) -> None:
    found = list(pages(simulator, path, *EVERYTHING.get(path, []), ("limit", "2")))
    assert all(set(page) == {"data", "next_page"} for page in found)
    assert found[1]["data"] == []
    assert found[1]["next_page"].startswith("page_")
    assert found[-1]["data"]


def test_an_implicit_membership_never_comes_alone(simulator: Simulator) -> None:
    path = "service_accounts/{id}/workspaces"
    sizes = [len(page["data"]) for page in pages(simulator, path, ("limit", "1"))]
    assert sizes[:3] == [2, 0, 1]
    archived = next(row for row in directory(simulator).service_accounts if row["archived_at"])
    page = get(simulator, f"service_accounts/{archived['id']}/workspaces").json()
    assert page == {"data": [], "next_page": None}


def test_a_large_directory_takes_few_requests(simulate: Any) -> None:
    large = Directory(Organization(7, 24), users=3000, workspaces=500, keys=20_000)
    simulator = simulate(days=3, now=NOW, directory=large)
    for path, requests_needed in (("users", 3), ("workspaces", 1), ("api_keys", 20)):
        pairs = [*EVERYTHING.get(path, []), ("limit", "1000")]
        found = list(pages(simulator, path, *pairs))
        assert len(found) == requests_needed
        assert [row for page in found for row in page["data"]] == getattr(large, path)
    emails = {row["email"] for row in large.users}
    assert len(emails) == 3000
    # A directory of any size has the people and keys that the reports name.
    organization = simulator.facts.organization
    assert set(organization.users) <= {row["id"] for row in large.users}
    assert set(organization.workspaces) <= {row["id"] for row in large.workspaces}
    names = {row["id"]: row["name"] for row in large.api_keys}
    assert all(names[key.id] == key.name for key in organization.keys)


def test_a_directory_follows_from_its_seed() -> None:
    def content(seed: int, **sizes: Any) -> dict[str, Any]:
        found = vars(Directory(Organization(seed, 24), **sizes))
        return {name: value for name, value in found.items() if isinstance(value, list)}

    assert content(7) == content(7)
    assert content(7) != content(8)
    assert content(7, users=99)["federation_rules"] != []


# -- filters, special cases, versions


def ids(simulator: Simulator, path: str, *pairs: tuple[str, str], **options: Any) -> set[str]:
    return {row["id"] for row in rows(simulator, path, *pairs, **options)}


def test_filters_of_workspaces(simulator: Simulator) -> None:
    known = directory(simulator).workspaces
    archived = {row["id"] for row in known if row["archived_at"]}
    everything = {row["id"] for row in known}
    assert archived
    assert ids(simulator, "workspaces") == everything - archived - {DEFAULT_WORKSPACE}
    assert ids(simulator, "workspaces", ("include_default", "true")) == everything - archived
    assert ids(simulator, "workspaces", *EVERYTHING["workspaces"]) == everything
    wanted = [known[1]["id"], DEFAULT_WORKSPACE, next(iter(archived)), "wrkspc_unknown"]
    pairs = [("ids[]", id_) for id_ in wanted]
    assert ids(simulator, "workspaces", *pairs) == {known[1]["id"]}
    assert ids(simulator, "workspaces", *pairs, *EVERYTHING["workspaces"]) == set(wanted[:3])
    assert known[0]["name"] == "Default"
    assert [row["data_residency"]["allowed_inference_geos"] for row in known[:3]] == [
        "unrestricted",
        ["us"],
        ["global", "us"],
    ]


def test_filters_of_people(simulator: Simulator) -> None:
    user = directory(simulator).users[8]
    name, domain = user["email"].upper().split("@")
    assert ids(simulator, "users", ("email", f"{name}+news@{domain}")) == {user["id"]}
    roles = [("roles[]", "admin"), ("roles[]", "billing")]
    assert {row["role"] for row in rows(simulator, "users", *roles)} == {"admin", "billing"}
    found = rows(simulator, "invites")
    assert {row["status"] for row in found} == {"pending", "accepted", "expired"}
    pending = rows(simulator, "invites", ("statuses[]", "pending"))
    assert pending == [row for row in found if row["status"] == "pending"]
    assert rows(simulator, "invites", ("email", found[0]["email"]))[0] == found[0]


def test_filters_of_keys(simulator: Simulator) -> None:
    known = directory(simulator).api_keys
    assert {row["status"] for row in known} == {"active", "inactive", "archived", "expired"}
    assert {row["scope"]["type"] for row in known} == {"workspace", "organization"}
    assert any(row["created_by"] is None for row in known)
    assert all(row["principal"] for row in known if row["scope"]["type"] == "organization")
    creator = known[1]["created_by"]
    for name, wanted, fits in (
        ("status", "expired", [row["status"] == "expired" for row in known]),
        (
            "workspace_id",
            DEFAULT_WORKSPACE,
            [row["scope"].get("workspace_id") == DEFAULT_WORKSPACE for row in known],
        ),
        ("created_by_user_id", creator["id"], [row["created_by"] == creator for row in known]),
    ):
        found = rows(simulator, "api_keys", (name, wanted))
        assert found == list(itertools.compress(known, fits))
        assert 0 < len(found) < len(known)


def test_filters_of_limits_and_rules(simulator: Simulator) -> None:
    found = rows(simulator, "rate_limits", ("model", "claude-opus-4-6"))
    assert [row["group"]["display_name"] for row in found] == ["Claude Opus 4.6"]
    found = rows(simulator, "rate_limits", ("group_type", "files"))
    assert [row["models"] for row in found] == [None]
    issuer = directory(simulator).federation_rules[0]["issuer_id"]
    found = rows(simulator, "federation_rules", ("issuer_id", issuer))
    assert {row["issuer_id"] for row in found} == {issuer}
    for path in ("service_accounts", "federation_issuers", "federation_rules"):
        living = rows(simulator, path)
        assert 0 < len(living) < len(table(simulator, path))
        assert all(row["archived_at"] is None for row in living)


def test_overrides_of_workspaces(simulator: Simulator) -> None:
    path = "workspaces/{id}/rate_limits"
    everything = rows(simulator, path, ("include_inherited", "true"))
    assert len(everything) == len(directory(simulator).rate_limits)
    overrides = [
        {**row, "limits": own}
        for row in everything
        if (own := [limit for limit in row["limits"] if limit["source"]["type"] == "workspace"])
    ]
    assert rows(simulator, path) == overrides
    assert 0 < len(overrides) < len(everything)
    limits = [limit for row in everything for limit in row["limits"]]
    for limit in limits:
        overridden = limit["source"]["type"] == "workspace"
        assert overridden is (limit["value"] != limit["org_limit"])
    assert any(limit["org_limit"] is None for limit in limits)
    assert rows(simulator, f"workspaces/{DEFAULT_WORKSPACE}/rate_limits") == []


def test_the_old_version_adds_what_is_deprecated(simulator: Simulator) -> None:
    for old, new in zip(
        rows(simulator, "api_keys", version=OLD), rows(simulator, "api_keys"), strict=True
    ):
        workspace = new["scope"].get("workspace_id")
        assert old.pop("workspace_id") == (None if workspace == DEFAULT_WORKSPACE else workspace)
        if old["principal"] != new["principal"]:
            new["principal"] = {"id": new["principal"]["user_id"], "type": "user"}
        assert old == new
    shapes = {
        tuple(sorted(row["principal"] or ())) for row in rows(simulator, "api_keys", version=OLD)
    }
    assert shapes == {(), ("id", "type"), ("type", "user_id"), ("service_account_id", "type")}
    for path in ("rate_limits", "workspaces/{id}/rate_limits"):
        found = rows(simulator, path, version=OLD)
        assert found
        assert all(row.pop("group_type") == row["group"]["type"] for row in found)
        assert found == rows(simulator, path)


def test_an_enterprise_key_sees_its_own_organization(simulator: Simulator) -> None:
    console, enterprise = rows(simulator, "users"), rows(simulator, "users", key=ANALYTICS_KEY)
    assert not {row["id"] for row in console} & {row["id"] for row in enterprise}
    assert {row["role"] for row in enterprise} == {
        *("user", "owner", "primary_owner", "membership_admin", "managed"),
    }
    assert get(simulator, "users", ("roles[]", "owner"), key=ANALYTICS_KEY).status_code == 200
    assert get(simulator, "users", ("roles[]", "admin"), key=ANALYTICS_KEY).status_code == 400
    assert any(row["rbac_group_ids"] for row in rows(simulator, "invites", key=ANALYTICS_KEY))


# -- the official SDK

TYPES: dict[str, type[BaseModel]] = {
    "me": OrganizationInfo,
    "workspaces": official.Workspace,
    "workspaces/{id}/members": official.WorkspaceMember,
    "workspaces/{id}/rate_limits": workspaces.WorkspaceRateLimit,
    "users": official.OrganizationUser,
    "invites": official.OrganizationInvite,
    "api_keys": official.APIKey,
    "rate_limits": official.OrganizationRateLimit,
    "external_keys": official.ExternalKey,
    "service_accounts": official.ServiceAccount,
    "service_accounts/{id}/workspaces": official.ServiceAccountWorkspaceMember,
    "federation_issuers": federation.FederationIssuer,
    "federation_rules": federation.FederationRule,
}
OPTIONAL = {
    *("region", "client_id", "ca_cert_pem", "discovery_base"),
    *("audience", "claims", "condition", "subject_prefix", "service_account_name"),
}
"""Fields that the API may leave out; every other one is there, null or not."""


@each("path", sorted(PATHS))
def test_rows_match_the_official_types(simulator: Simulator, path: str) -> None:
    found = rows(simulator, path, *EVERYTHING.get(path, []))
    for row in found:
        model = TYPES[path].model_validate_json(json.dumps(row), strict=True)
        found_differences = differences(model) - {f"-{name}" for name in OPTIONAL}
        assert found_differences == ({"+field_of_tomorrow"} if path == "users" else set())
    assert found


def test_optional_fields_are_present_null_and_missing(simulator: Simulator) -> None:
    parts = [
        *(row["provider_config"] for row in table(simulator, "external_keys")),
        *(row["jwks"] for row in table(simulator, "federation_issuers")),
        *(
            row[part]
            for row in table(simulator, "federation_rules")
            for part in ("match", "target")
        ),
    ]
    for name in OPTIONAL:
        assert {name in part for part in parts} == {True, False}
    assert any(value is None for part in parts for value in part.values())


READERS: dict[str, Callable[[Any, str], Iterable[Any]]] = {
    "me": lambda api, _: [api.retrieve()],
    "workspaces": lambda api, _: api.workspaces.list(
        include_archived=True, include_default=True, limit=7
    ),
    "workspaces/{id}/members": lambda api, id_: api.workspaces.members.list(id_, limit=7),
    "workspaces/{id}/rate_limits": lambda api, id_: api.workspaces.rate_limits.list(
        id_, include_inherited=True, limit=2
    ),
    "users": lambda api, _: api.users.list(limit=7),
    "invites": lambda api, _: api.invites.list(limit=7),
    "api_keys": lambda api, _: api.api_keys.list(limit=7),
    "rate_limits": lambda api, _: api.rate_limits.list(limit=2),
    "external_keys": lambda api, _: api.external_keys.list(limit=7),
    "service_accounts": lambda api, _: api.service_accounts.list(include_archived=True, limit=7),
    "service_accounts/{id}/workspaces": lambda api, id_: api.service_accounts.workspaces.list(
        id_, limit=2
    ),
    "federation_issuers": lambda api, _: api.federation.issuers.list(
        include_archived=True, limit=7
    ),
    "federation_rules": lambda api, _: api.federation.rules.list(include_archived=True, limit=7),
}


@each("namespace", ["organization", "beta.organization"])
@each("path", sorted(PATHS))
def test_the_official_sdk_reads_every_list(simulator: Simulator, path: str, namespace: str) -> None:
    oauth = path in OAUTH_ONLY
    with anthropic.Anthropic(
        base_url=simulator.url,
        api_key=None if oauth else ADMIN_KEY,
        # not auth_token: with that the SDK leaves the beta header to its caller
        credentials=StaticToken(ACCESS_TOKEN) if oauth else None,
        max_retries=0,
    ) as client:
        api: Any = client
        for name in namespace.split("."):
            api = getattr(api, name)
        id_ = full(path, simulator).split("/")[1] if "{" in path else ""
        read = list(READERS[path](api, id_))
    expected = rows(simulator, path, *EVERYTHING.get(path, []))
    assert read == [type(row).construct(**raw) for row, raw in zip(read, expected, strict=True)]
