"""A run without a key: its identity token becomes access tokens, as many as it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import anthropic
import pytest
from anthropic.lib.credentials import IdentityTokenFile, WorkloadIdentityCredentials

from simulator.deliveries import oversized
from simulator.faults import FOREVER
from simulator.oauth import TOKEN_PATH
from simulator.server import ACCESS_TOKEN, ADMIN_KEY, ANALYTICS_KEY, Fault, Simulator
from tap_claude import client
from tap_claude.tap import TapClaude
from tests.conftest import NOW, Run, days_ago, environment, only, settings
from tests.each import each
from tests.workload import Workload

if TYPE_CHECKING:
    from pathlib import Path

STREAMS = ("claude_code_usage", "cost_report", "messages_usage", "service_accounts", "users")
DEBUG = {"TAP_CLAUDE_LOGLEVEL": "DEBUG"}


@pytest.fixture
def workload(simulate: Any, tmp_path: Path) -> Workload:
    return Workload(simulate(days=3, now=NOW), tmp_path)


def used_tokens(simulator: Simulator) -> list[str]:
    """Return the access tokens of all requests, without repetitions of the previous one."""
    sent = [seen.headers.get("authorization", "") for seen in simulator.requests()]
    tokens = [text.removeprefix("Bearer ") for text in sent if text]
    return [token for token, last in zip(tokens, ["", *tokens], strict=False) if token != last]


def rows(run: Run) -> list[str]:
    """Return all records without the time of the run, in a fixed order."""
    found = [m for m in run.messages if m["type"] == "RECORD" and m["stream"] != "report_buckets"]
    for message in found:
        del message["record"]["extracted_at"]
        message.pop("version", None)
        message.pop("time_extracted", None)
    return sorted(json.dumps(message, sort_keys=True) for message in found)


# -- a whole run


@pytest.mark.slow
def test_a_long_run_exchanges_once_per_token(simulate: Any, tap: Any, tmp_path: Path) -> None:
    simulator = simulate(days=40, now=NOW, token_lifetime=2, latency=0.06)
    workload = Workload(simulator, tmp_path)
    config = workload.settings(start_date=days_ago(39, NOW))
    catalog = only(config, *STREAMS)
    begun = time.time()
    run = tap(config=config, catalog=catalog)
    assert run.code == 0, run.stderr
    issued = [it.token for it in simulator.tokens.issued]
    assert used_tokens(simulator) == issued
    exchanges = simulator.requests(TOKEN_PATH)
    elapsed = exchanges[-1].at.timestamp() - begun
    refused = sum(seen.status == 401 for seen in simulator.seen)
    # 40 requests at least, of 0.06 s each, need two tokens that are renewed after one second.
    assert 2 <= len(issued) <= 1 + refused + elapsed / 1.0
    assert len(exchanges) == len(issued)

    simulator.latency = 0
    del config["federation_rule_id"]
    plain = settings(simulator, start_date=config["start_date"], access_token=ACCESS_TOKEN)
    del plain["admin_api_key"]
    assert rows(run) == rows(tap(config=plain, catalog=catalog))
    assert not workload.leaks(run.stdout + run.whole_stderr)


def test_the_identity_file_is_read_at_each_exchange(workload: Workload, tap: Any) -> None:
    """The issuer accepts each token once; the platform renews it; access tokens are revoked."""
    simulator = workload.simulator
    workload.issuer["check_jti"] = True
    workload.renew(jti="0")

    def rotate(path: str, pairs: Any) -> None:  # noqa: ARG001
        if path == TOKEN_PATH:
            workload.renew(jti=str(len(workload.secrets)))
        elif len(simulator.seen) % 3 == 0:
            simulator.tokens.revoke()

    simulator.plan = rotate
    config = workload.settings(start_date=days_ago(2, NOW))
    run = tap(config=config, catalog=only(config, *STREAMS), env=DEBUG)
    assert run.code == 0, run.stderr
    assertions = [it.assertion for it in simulator.tokens.issued]
    assert len(assertions) > 2
    assert len(set(assertions)) == len(assertions)
    assert assertions[0] != workload.secrets[0]
    assert not workload.leaks(run.stdout + run.whole_stderr)
    assert "a new access token" in run.whole_stderr.lower()


def test_a_401_is_renewed_once(workload: Workload, tap: Any) -> None:
    simulator = workload.simulator
    config = workload.settings(start_date=days_ago(2, NOW))
    catalog = only(config, "cost_report", "users")
    simulator.faults.append(Fault(401, path="users"))
    run = tap(config=config, catalog=catalog)
    assert run.code == 0, run.stderr
    assert run.records("users")
    assert used_tokens(simulator) == [it.token for it in simulator.tokens.issued]
    assert len(simulator.tokens.issued) == 2

    simulator.seen.clear()
    simulator.faults.append(Fault(401, path="users", times=FOREVER))
    run = tap(config=config, catalog=catalog)
    assert run.code == 1
    (error,) = run.errors
    assert error.startswith("users: HTTP 401 authentication_error")
    assert "check the setting federation_rule_id: the API also refused a new" in error
    assert run.records("cost_report")
    assert len(simulator.requests("users")) == 2


@pytest.mark.slow
def test_kills_cost_nothing(simulate: Any, tap: Any, tmp_path: Path) -> None:
    simulator = simulate(days=60, now=NOW, token_lifetime=2)
    workload = Workload(simulator, tmp_path)
    config = workload.settings(start_date=days_ago(59, NOW), lookback_days=0)
    catalog = only(config, "claude_code_usage", "cost_report", "messages_usage")
    whole = {line for line in rows(tap(config=config, catalog=catalog)) if '"row_id"' in line}
    for name, content in (("config", config), ("catalog", catalog)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    state: dict[str, Any] = {}
    found: set[str] = set()
    printed = ""
    for lines in (300, 600, 10**6):
        (tmp_path / "state.json").write_text(json.dumps(state))
        command = [sys.executable, "-m", "tap_claude"]
        for name in ("config", "catalog", "state"):
            command += [f"--{name}", str(tmp_path / f"{name}.json")]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()
        ) as process:
            assert process.stdout is not None
            seen = [line for _, line in zip(range(lines), process.stdout, strict=False)]
            process.kill()
            seen += process.stdout.readlines()
        messages = [json.loads(line) for line in seen if line.endswith("\n")]
        found |= set(rows(Run(0, messages, "")))
        state = ([m["value"] for m in messages if m["type"] == "STATE"] or [state])[-1]
        printed += "".join(seen)
    assert found == whole
    assert len(simulator.tokens.issued) >= 4
    assert not workload.leaks(printed)


# -- which requests it is for


def test_an_admin_key_is_preferred_and_an_enterprise_key_is_its_own(
    workload: Workload, tap: Any
) -> None:
    simulator = workload.simulator
    config = workload.settings(admin_api_key=ADMIN_KEY, analytics_api_key=ANALYTICS_KEY)
    config["start_date"] = days_ago(2, NOW)
    names = ("cost_report", "service_accounts", "rbac_groups", "users")
    run = tap(config=config, catalog=only(config, *names))
    assert run.code == 0, run.stderr
    keys = {
        seen.path.rpartition("/")[2]: seen.headers.get("x-api-key")
        for seen in simulator.seen
        if seen.path.rpartition("/")[2] in {*names, "token"}
    }
    assert keys == {
        "cost_report": ADMIN_KEY,
        "rbac_groups": ANALYTICS_KEY,
        "users": ANALYTICS_KEY,  # of the two organizations, this one is read last
        "service_accounts": None,
        "token": None,
    }
    (exchange,) = simulator.requests(TOKEN_PATH)
    assert "authorization" not in exchange.headers


def test_a_rule_for_workspaces_is_not_enough(workload: Workload, tap: Any) -> None:
    workload.rule["oauth_scope"] = "workspace:developer"
    config = workload.settings(start_date=days_ago(2, NOW))
    run = tap(config=config, catalog=only(config, "cost_report", "service_accounts"))
    assert run.code == 1
    assert len(run.errors) == 2
    assert all("Needed: ['org:admin']" in error for error in run.errors)
    assert "an OAuth token (access_token or federation) with the scope org:admin" in run.stderr
    assert len(workload.simulator.tokens.issued) == 1


def test_request_timeout_limits_the_exchange_too(workload: Workload) -> None:
    config = workload.settings(start_date=days_ago(2, NOW), request_timeout=1)
    simulator = workload.simulator
    simulator.latency = 1.5
    begun = time.monotonic()
    with pytest.raises(Exception, match=r"token exchange: no usable response from 127\.0"):
        read_once(config)
    assert time.monotonic() - begun > 1
    assert not simulator.requests("cost_report")


def read_once(config: dict[str, Any]) -> None:
    """Read a stream in this process, with one try for each request."""
    tap = TapClaude(config=config, catalog=only(config, "cost_report"))
    before, client.MAX_TRIES = client.MAX_TRIES, 1
    try:
        tap.read_all()
    finally:
        client.MAX_TRIES = before
    tap.report_failures()


def test_the_exchange_with_a_loopback_server_uses_no_proxy(workload: Workload, tap: Any) -> None:
    """The proxy is another machine, and would get the identity token in clear."""
    proxy = "http://127.0.0.1:9"
    env = {"HTTP_PROXY": proxy, "http_proxy": proxy, "NO_PROXY": "", "no_proxy": ""}
    config = workload.settings(start_date=days_ago(2, NOW))
    run = tap(config=config, catalog=only(config, "users"), env=env)
    assert run.code == 0, run.stderr
    assert len(workload.simulator.tokens.issued) == 1


# -- refusals


OTHER_ID = "11111111-2222-3333-4444-555555555555"


@pytest.mark.slow
@each(
    ("claims", "more", "says"),
    [
        (
            {"iss": "https://other.example.com"},
            {},
            ["HTTP 400 invalid_grant", "issuer", "compare the token in identity_token_file"],
        ),
        ({"aud": "https://other"}, {}, ["audience", "compare the token in identity_token_file"]),
        ({"sub": "repo:example/other"}, {}, ["subject", "identity_token_file"]),
        ({"iat": None}, {}, ["must have exp and iat", "identity_token_file"]),
        ({"iat": 0}, {}, ["lives longer than its issuer allows", "identity_token_file"]),
        ({}, {"federation_rule_id": "fdrl_01x"}, ["rule not found", "check federation_rule_id"]),
        (
            {},
            {"federation_organization_id": OTHER_ID},
            ["set federation_organization_id to the UUID of the organization"],
        ),
        ({}, {"service_account_id": None}, ["field required", "set service_account_id to the"]),
        ({}, {"service_account_id": "svac_01x"}, ["not the target", "set service_account_id to"]),
    ],
)
def test_what_the_api_refuses_names_the_setting(
    workload: Workload, tap: Any, claims: Any, more: Any, says: list[str]
) -> None:
    workload.renew(**claims)
    config = workload.settings(start_date=days_ago(2, NOW), **more)
    catalog = only(config, "cost_report", "users")
    workload.simulator.seen.clear()
    run = tap(config=config, catalog=catalog)
    assert run.code == 1
    (error,) = run.errors  # nothing else can be read, so the run ends there
    assert all(part in error for part in ("token exchange: ", *says)), error
    assert "Traceback" not in run.stderr
    assert [seen.path for seen in workload.simulator.seen] == [TOKEN_PATH]
    loud = tap(config=config, catalog=catalog, env=DEBUG)
    assert "Traceback" in loud.whole_stderr
    assert not workload.leaks(loud.stdout + loud.whole_stderr)


@each(
    ("content", "says"),
    [
        (None, "does not exist; mount the token there, or correct the path"),
        ("/", "is not a regular file"),
        ("", "is empty; check the volume"),
        (" \n", "is empty; check the volume"),
        ("hush-hush", "does not contain a JWT"),
        ("a.b", "does not contain a JWT"),
        ("W10.W10.aGk", "does not contain a JWT"),
        ("é.é.é", "does not contain a JWT"),
        ("e30.e30.aGk\ne30.e30.aGk", "does not contain a JWT"),
        ("-----BEGIN " + "A" * 20_000, "is larger than 16 KiB, so it is not a JWT"),
        ("expired", "contains a token that expired 1:0"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    workload: Workload, tap: Any, content: str | None, says: str
) -> None:
    config = workload.settings(start_date=days_ago(2, NOW))
    if content is None:
        workload.file.unlink()
    elif content == "/":
        config["identity_token_file"] = str(workload.file.parent)
    elif content == "expired":
        workload.renew(iat=int(time.time()) - 7200, exp=int(time.time()) - 3610)
    else:
        workload.write(content)
    run = tap(config=config, catalog=only(config, "cost_report", "users"), env=DEBUG)
    assert run.code == 1
    (error,) = run.errors
    assert f"identity_token_file: {config['identity_token_file']} {says}" in error
    assert not workload.simulator.seen
    assert not [leak for leak in workload.leaks(run.whole_stderr) if len(leak) > 5]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads every file")
def test_a_file_of_another_user_is_named(workload: Workload, tap: Any) -> None:
    workload.file.chmod(0)
    config = workload.settings(start_date=days_ago(2, NOW))
    run = tap(config=config, catalog=only(config, "users"))
    assert "is not readable by this user; check the owner and the mode" in run.errors[-1]


def test_a_refused_exchange_leaves_the_other_streams_read(workload: Workload, tap: Any) -> None:
    config = workload.settings(start_date=days_ago(2, NOW), admin_api_key=ADMIN_KEY)
    workload.file.unlink()
    run = tap(config=config, catalog=only(config, "cost_report", "service_accounts", "users"))
    assert run.code == 1
    (error,) = run.errors
    assert error.startswith("service_accounts: identity_token_file: ")
    assert run.records("cost_report")
    assert run.records("users")


# -- a token endpoint that is down, or something else


@pytest.mark.slow
def test_a_token_endpoint_that_is_down_is_tried_again(
    workload: Workload, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT", 0.001)
    simulator = workload.simulator
    bad = (
        "",
        "[]",
        '{"access_token": "x y", "expires_in": 60}',
        '{"access_token": "x"}',
        '{"access_token": "x", "expires_in": 60, "token_type": "mac"}',
    )
    faults = [
        Fault(401),  # at once: the file may just have been rotated
        Fault(503),
        Fault(504),  # slow, but no reason to ask for a shorter report
        Fault(429, {"retry-after": "0"}),
        Fault(200, body="{}", deliver=oversized(2**21)),
        *(Fault(200, body=body) for body in bad),
    ]
    for fault in faults:
        fault.path = TOKEN_PATH
        simulator.faults.append(fault)
    config = workload.settings(start_date=days_ago(2, NOW))
    tap = TapClaude(config=config, catalog=only(config, "messages_usage"))
    tap.read_all()
    assert not tap.run.failures
    assert caplog.text.count("retrying") == len(faults) - 1
    assert "token exchange: HTTP 503 overloaded_error" in caplog.text
    assert f"the response to POST {TOKEN_PATH} is not an access token" in caplog.text
    assert len(simulator.requests("usage_report/messages")) == 1


@pytest.mark.slow
@each(
    ("fault", "says"),
    [
        (Fault(503, times=FOREVER), "^cost_report: token exchange: HTTP 503 overloaded_error"),
        (Fault(503, {"retry-after": "3600"}), "longer than ten minutes"),
        (
            Fault(403, {"content-type": "text/html"}, "<html>Blocked</html>"),
            "HTTP 403 is not a response of the API: check base_url, proxies and firewalls",
        ),
        (Fault(302, {"location": "https://example.com"}, ""), "redirects are not followed"),
        (Fault(401, message="authentication failed", times=2), "check federation_rule_id, service"),
    ],
)
def test_a_token_endpoint_that_stays_down_ends_the_run(
    workload: Workload, fault: Fault, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT", 0.001)
    fault.path = TOKEN_PATH
    workload.simulator.faults[:] = [fault]
    config = workload.settings(start_date=days_ago(2, NOW))
    tap = TapClaude(config=config, catalog=only(config, "cost_report", "users"))
    with pytest.raises(Exception, match=says):
        tap.read_all()
    assert not workload.simulator.requests("users")


def test_an_echo_of_the_token_is_masked(workload: Workload, tap: Any) -> None:
    """Whole or in part, in what the API says of it."""
    token = workload.renew()
    _, claims, signature = token.split(".")
    for echo in (token, claims, signature):
        body = json.dumps({"error": "invalid_grant", "error_description": f"bad assertion {echo}"})
        fault = Fault(400, body=body, path=TOKEN_PATH)
        workload.simulator.faults.append(fault)
        config = workload.settings(start_date=days_ago(2, NOW))
        run = tap(config=config, catalog=only(config, "users"), env=DEBUG)
        assert "bad assertion ***" in run.errors[-1]
        assert not workload.leaks(run.stdout + run.whole_stderr)


def test_an_echo_of_the_access_token_is_masked(workload: Workload, tap: Any) -> None:
    simulator = workload.simulator

    def echo(path: str, pairs: Any) -> Fault | None:  # noqa: ARG001
        if path == TOKEN_PATH:
            return None
        return Fault(400, message=f"not with {simulator.tokens.issued[-1].token}")

    simulator.plan = echo
    config = workload.settings(start_date=days_ago(2, NOW))
    run = tap(config=config, catalog=only(config, "cost_report", "users"), env=DEBUG)
    assert len(run.errors) == 2
    assert all("not with ***" in error for error in run.errors)
    assert not workload.leaks(run.stdout + run.whole_stderr)


# -- the official SDK


def test_the_official_sdk_exchanges_in_the_same_way(workload: Workload, tap: Any) -> None:
    simulator = workload.simulator
    config = workload.settings(start_date=days_ago(2, NOW))
    run = tap(config=config, catalog=only(config, "service_accounts"))
    credentials = WorkloadIdentityCredentials(
        identity_token_provider=IdentityTokenFile(workload.file),
        federation_rule_id=config["federation_rule_id"],
        organization_id=config["federation_organization_id"],
        service_account_id=config["service_account_id"],
    )
    with anthropic.Anthropic(base_url=simulator.url, credentials=credentials) as sdk:
        accounts = [*sdk.organization.service_accounts.list(include_archived=True)]
    assert [row.id for row in accounts] == [r["id"] for r in run.records("service_accounts")]
    ours, theirs = simulator.tokens.requests
    assert ours == theirs
    first, second = simulator.requests(TOKEN_PATH)
    for header in ("anthropic-beta", "content-type"):
        assert first.headers[header] == second.headers[header]
    assert used_tokens(simulator) == [it.token for it in simulator.tokens.issued]
