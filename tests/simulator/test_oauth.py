"""What the simulator promises of its token endpoint."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from simulator.oauth import FEDERATION_BETA, GRANT_TYPE, TOKEN_PATH, admin_rule, identity_token
from simulator.server import OAUTH, PREFIX, Simulator
from tests.conftest import NOW, simulated
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADERS = {"content-type": "application/json", "anthropic-beta": f"{OAUTH},{FEDERATION_BETA}"}


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with simulated(days=3, now=NOW) as simulator:
        yield simulator


def fields(simulator: Simulator, rule: Any = None, **claims: Any) -> dict[str, Any]:
    """Return the body of a token request that is accepted."""
    directory = simulator.tokens.directory
    rule = rule or admin_rule(directory)
    return {
        "grant_type": GRANT_TYPE,
        "assertion": identity_token(directory, rule, **claims),
        "federation_rule_id": rule["id"],
        "organization_id": directory.organization.id,
        "service_account_id": rule["target"]["service_account_id"],
    }


def post(simulator: Simulator, body: Any, **headers: str | None) -> requests.Response:
    sent = {**HEADERS, **{name.replace("_", "-"): text for name, text in headers.items()}}
    content = body if isinstance(body, str) else json.dumps(body)
    return requests.post(f"{simulator.url}{TOKEN_PATH}", data=content, headers=sent, timeout=60)


def read(simulator: Simulator, token: str, path: str = "users", **headers: str) -> Any:
    sent = {
        "authorization": f"Bearer {token}",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": OAUTH,
        **{name.replace("_", "-"): text for name, text in headers.items()},
    }
    return requests.get(f"{simulator.url}{PREFIX}{path}", headers=sent, timeout=60)


def test_an_access_token_reads_what_an_oauth_token_reads(simulator: Simulator) -> None:
    response = post(simulator, fields(simulator))
    content = response.json()
    assert response.status_code == 200
    assert sorted(content) == ["access_token", "expires_in", "scope", "token_type"]
    assert (content["token_type"], content["scope"]) == ("Bearer", "org:admin")
    assert content["expires_in"] == 900
    token = content["access_token"]
    assert token.startswith("sk-ant-oat01-")
    assert read(simulator, token, "service_accounts").ok
    # Headers of one kind of request are not accepted on the other.
    assert read(simulator, token, anthropic_beta="other").status_code == 401
    assert read(simulator, token, anthropic_beta=f"{OAUTH},{FEDERATION_BETA}").status_code == 400
    assert read(simulator, token, authorization="", x_api_key=token).status_code == 401
    assert read(simulator, f"{token}x").status_code == 401


def test_a_rule_for_workspaces_gives_a_token_that_reads_nothing(simulator: Simulator) -> None:
    rule = dict(admin_rule(simulator.tokens.directory), oauth_scope="workspace:inference", id="r")
    simulator.tokens.directory.federation_rules.append(rule)
    token = post(simulator, fields(simulator, rule)).json()["access_token"]
    response = read(simulator, token)
    assert response.status_code == 403
    assert "Needed: ['org:admin']" in response.text


@each(("lives", "expected"), [(600, 900), (300, 600), (20, 60)])
def test_the_lifetime_depends_on_the_identity_token(
    simulator: Simulator, lives: int, expected: int
) -> None:
    """As documented: max(60, min(lifetime of the rule, twice what is left of the assertion))."""
    body = fields(simulator, exp=int(time.time()) + lives)
    found = post(simulator, body).json()["expires_in"]
    assert expected - 30 <= found <= expected if expected != 60 else found == 60


def test_a_token_expires() -> None:
    with simulated(days=1, now=NOW, token_lifetime=2) as simulator:
        content = post(simulator, fields(simulator)).json()
        assert content["expires_in"] == 2
        simulator.tokens.issued.clear()  # a log only
        time.sleep(2)
        response = read(simulator, content["access_token"])
        assert response.status_code == 401
        assert response.json()["error"]["type"] == "authentication_error"
        second = post(simulator, fields(simulator)).json()["access_token"]
        simulator.tokens.revoke()
        assert read(simulator, second).status_code == 401
        assert len(simulator.requests(TOKEN_PATH)) == 2
        assert len(simulator.tokens.issued) == 1


@each(
    ("change", "error", "says"),
    [
        ({"grant_type": "refresh_token"}, "unsupported_grant_type", "grant_type"),
        ({"assertion": None}, "invalid_request", "assertion: field required"),
        ({"federation_rule_id": None}, "invalid_request", "federation_rule_id: field required"),
        ({"organization_id": None}, "invalid_request", "organization_id: field required"),
        ({"service_account_id": None}, "invalid_request", "service_account_id: field required"),
        ({"service_account_id": ""}, "invalid_request", "service_account_id: must be a string"),
        ({"service_account_id": "svac_x"}, "invalid_grant", "not the target"),
        ({"scope": "org:admin"}, "invalid_request", "scope: extra inputs"),
        ({"organization_id": "org_x"}, "invalid_grant", "no such organization"),
        ({"federation_rule_id": "fdrl_x"}, "invalid_grant", "not found or archived"),
        ({"workspace_id": "wrkspc_x"}, "invalid_grant", "not enabled"),
        ({"assertion": "a.b"}, "invalid_grant", "not a JWT"),
        ({"assertion": "e30.e30."}, "invalid_grant", "not a JWT"),
        ({"assertion": "e30.W10.aGk"}, "invalid_grant", "not a JWT"),
        ({"assertion": "e30.e30.aGk"}, "invalid_grant", "algorithm"),
        ({"assertion": "a" * 20_000}, "invalid_grant", "too long"),
    ],
)
def test_a_wrong_request_is_refused(
    simulator: Simulator, change: dict[str, Any], error: str, says: str
) -> None:
    body = {**fields(simulator), **change}
    response = post(simulator, {name: text for name, text in body.items() if text is not None})
    assert response.status_code == 400
    assert response.json()["error"] == error
    assert says in response.json()["error_description"]


@each(
    ("claims", "says"),
    [
        ({"exp": None}, "must have exp and iat"),
        ({"iat": None}, "must have exp and iat"),
        ({"exp": 1}, "has expired"),
        ({"iat": 1}, "lives longer"),
        ({"iat": 10**11, "exp": 10**11}, "in the future"),
        ({"iss": "https://other.example.com"}, "issuer"),
        ({"aud": "https://other.example.com"}, "audience"),
        ({"aud": ["a", "b"]}, "audience"),
        ({"sub": "repo:other/app:main"}, "subject"),
        ({"sub": None}, "subject"),
    ],
)
def test_a_wrong_claim_is_refused(simulator: Simulator, claims: dict[str, Any], says: str) -> None:
    response = post(simulator, fields(simulator, **claims))
    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")
    assert says in response.json()["error_description"]


def test_claims_and_conditions_of_a_rule_are_compared(simulator: Simulator) -> None:
    rule = admin_rule(simulator.tokens.directory)
    before = rule["match"]
    for match, wrong in (
        ({"claims": {"team": "data"}}, {"team": "other"}),
        ({"condition": "claims.level > 3"}, {"level": 3}),
    ):
        rule["match"] = match
        assert post(simulator, fields(simulator)).ok
        assert post(simulator, fields(simulator, **wrong)).status_code == 400
    rule["match"] = before


def test_a_token_with_an_id_is_accepted_once_where_the_issuer_wants_it(
    simulator: Simulator,
) -> None:
    rule = admin_rule(simulator.tokens.directory)
    issuers = simulator.tokens.directory.federation_issuers
    issuer = next(row for row in issuers if row["id"] == rule["issuer_id"])
    issuer["check_jti"] = True
    body = fields(simulator, jti="1")
    assert [post(simulator, body).status_code for _ in range(2)] == [200, 400]
    without = fields(simulator)
    assert [post(simulator, without).status_code for _ in range(2)] == [200, 200]


@each(
    ("headers", "says"),
    [
        ({"anthropic_beta": OAUTH}, "anthropic-beta"),
        ({"anthropic_beta": None}, "anthropic-beta"),
        ({"content_type": "application/x-www-form-urlencoded"}, "content-type"),
    ],
)
def test_the_headers_are_required(simulator: Simulator, headers: Any, says: str) -> None:
    response = post(simulator, fields(simulator), **headers)
    assert response.status_code == 400
    assert says in response.json()["error_description"]


@each("body", ["", "[]", "null", "grant_type=x"])
def test_the_body_is_an_object(simulator: Simulator, body: str) -> None:
    response = post(simulator, body)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_no_other_path_takes_a_post(simulator: Simulator) -> None:
    assert requests.post(f"{simulator.url}{PREFIX}users", timeout=60).status_code == 404
    assert requests.get(f"{simulator.url}{TOKEN_PATH}", timeout=60).status_code == 401


def test_several_workspaces_need_a_choice(simulator: Simulator) -> None:
    rule = admin_rule(simulator.tokens.directory)
    before = rule["workspace_ids"]
    rule["workspace_ids"] = [row["id"] for row in simulator.tokens.directory.workspaces[1:3]]
    body = fields(simulator)
    assert "workspace_id: required" in post(simulator, body).text
    assert post(simulator, {**body, "workspace_id": rule["workspace_ids"][0]}).ok
    rule["workspace_ids"] = before
    assert post(simulator, {**body, "workspace_id": "default"}).ok


def test_archived_rules_issuers_and_accounts_refuse(simulator: Simulator) -> None:
    directory = simulator.tokens.directory
    rule = admin_rule(directory)
    body = fields(simulator)
    account = rule["target"]["service_account_id"]
    for rows, id_ in (
        (directory.federation_rules, rule["id"]),
        (directory.federation_issuers, rule["issuer_id"]),
        (directory.service_accounts, account),
    ):
        row = next(row for row in rows if row["id"] == id_)
        row["archived_at"] = "2026-01-01T00:00:00Z"
        assert post(simulator, body).status_code == 400
        row["archived_at"] = None
    assert post(simulator, body).ok
    simulator.tokens.needs_service_account = False
    del body["service_account_id"]
    assert post(simulator, body).ok
    simulator.tokens.needs_service_account = True
