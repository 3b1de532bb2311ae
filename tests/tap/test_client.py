"""Errors, retries, credentials, and secrets that must never reach a log."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from simulator.changes import huge_integer
from simulator.faults import FOREVER
from simulator.server import ACCESS_TOKEN, ANALYTICS_KEY, Fault
from tap_claude import client
from tap_claude.redaction import sanitize_for_log
from tap_claude.session import Session
from tap_claude.tap import TapClaude
from tests.conftest import NOW, days_ago, only, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.server import Simulator

SOON = {"retry-after": "0"}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits between retries, not their number."""
    monkeypatch.setattr(client, "FIRST_WAIT", 0.001)


def sync(config: dict[str, Any], *streams: str) -> TapClaude:
    """Run the tap in this process, so that the short waits apply."""
    tap = TapClaude(
        config=config, catalog=only(config, *(streams or ("cost_report", "messages_usage")))
    )
    tap.read_all()
    if tap.run.failures:
        raise RuntimeError(next(iter(tap.run.failures.values())))
    return tap


@pytest.fixture
def simulator(simulate: Any) -> Simulator:
    made: Simulator = simulate(days=3, now=NOW)
    return made


@pytest.fixture
def config(simulator: Simulator) -> dict[str, Any]:
    return settings(simulator, start_date=days_ago(2, NOW))


PAGE = '{"data": [], "has_more": false, "next_page": null}'


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, headers=SOON),
        Fault(status=429),
        Fault(status=408),
        Fault(status=409),
        Fault(status=500),
        Fault(status=502, body="<html>bad gateway</html>"),
        Fault(status=503),
        Fault(status=529),
        Fault(status=400, headers={"x-should-retry": "true"}),
        Fault(status=200, body="not json"),
        Fault(status=200, body="[]"),
        Fault(status=200, body="null"),
        Fault(status=200, body='{"type": "error", "error": {"message": "x"}}'),
        Fault(status=200, body='{"data": null, "has_more": false}'),
        Fault(status=200, body=PAGE[:-1]),
        Fault(status=200, body=PAGE, headers={"content-encoding": "gzip"}),
        Fault(status=200, body=b'{"data": ["\xff"], "has_more": "no"}'),
    ],
    ids=lambda fault: f"{fault.status} {fault.headers or fault.body or ''}",
)
def test_transient_faults_are_retried(
    simulator: Simulator, config: dict[str, Any], fault: Fault, capsys: pytest.CaptureFixture[str]
) -> None:
    fault.times = 3
    fault.path = "cost_report"
    simulator.faults.append(fault)
    sync(config)
    assert len(simulator.requests("cost_report")) == 4
    assert '"stream":"cost_report","record"' in capsys.readouterr().out


def test_a_slow_request_is_split_then_retried(
    simulator: Simulator, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    simulator.faults.append(Fault(status=504, path="cost_report", times=3))
    sync(config)
    spans = [
        (seen.values("starting_at")[0][:10], seen.values("ending_at")[0][:10], seen.status)
        for seen in simulator.requests("cost_report")
    ]
    assert spans == [
        ("2026-03-18", "2026-03-21", 504),
        ("2026-03-18", "2026-03-19", 504),
        ("2026-03-18", "2026-03-19", 504),
        ("2026-03-18", "2026-03-19", 200),
        ("2026-03-19", "2026-03-20", 200),
        ("2026-03-20", "2026-03-21", 200),
    ]
    assert '"stream":"cost_report","record"' in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "requests_made"),
    [
        (Fault(status=400, times=99), 1),
        (Fault(status=401, times=99), 1),
        (Fault(status=402, times=99), 1),
        (Fault(status=500, headers={"x-should-retry": "false"}, times=99), 1),
        (Fault(status=301, headers={"location": "http://127.0.0.1:9/"}, times=99), 1),
        (Fault(status=500, times=99), 14),
        (Fault(status=200, body="[]", times=99), 8),
    ],
    ids=lambda value: f"{value.status} {value.headers}" if isinstance(value, Fault) else "",
)
def test_permanent_faults_end_the_run(
    simulator: Simulator, config: dict[str, Any], fault: Fault, requests_made: int
) -> None:
    simulator.faults.append(fault)
    with pytest.raises(Exception, match=r"^cost_report: ") as caught:
        sync(config, "cost_report")
    assert len(simulator.seen) == requests_made
    assert "sk-ant" not in str(caught.value)


@pytest.mark.slow
def test_retry_after_is_followed(simulator: Simulator, config: dict[str, Any]) -> None:
    simulator.faults.append(Fault(status=429, headers={"retry-after": "2"}, path="cost_report"))
    started = time.monotonic()
    sync(config)
    assert time.monotonic() - started > 2


@pytest.fixture
def closing_server() -> Iterator[tuple[str, list[int]]]:
    """Accept connections and close them: before the response, in its headers, in its body."""
    listener = socket.create_server(("127.0.0.1", 0))
    count: list[int] = []
    cuts = [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-ty",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + PAGE.encode(),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n20\r\n{",
    ]

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.recv(65536)
            connection.sendall(cuts[len(count) % len(cuts)])
            count.append(1)
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", count
    listener.close()


@pytest.mark.slow
def test_broken_connections_are_retried_then_named(
    config: dict[str, Any], closing_server: tuple[str, list[int]]
) -> None:
    config["base_url"], count = closing_server
    with pytest.raises(Exception, match=r"^cost_report: (no usable response|the response is not)"):
        sync(config, "cost_report")
    assert len(count) == 14


def test_a_certificate_error_is_not_retried(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def get(*_: object, **__: object) -> None:
        tries.append(1)
        reason = "certificate verify failed: self-signed certificate"
        raise requests.exceptions.SSLError(reason)

    monkeypatch.setattr(Session, "get", get)
    with pytest.raises(Exception, match=r"^cost_report: .*set REQUESTS_CA_BUNDLE"):
        sync(config, "cost_report")
    assert len(tries) == 1


def test_redirects_are_not_followed(
    simulator: Simulator, config: dict[str, Any], simulate: Any
) -> None:
    other = simulate(days=3, now=NOW)
    simulator.faults.append(
        Fault(status=307, headers={"location": f"{other.url}/v1/organizations/cost_report"})
    )
    with pytest.raises(Exception, match="redirects are not followed"):
        sync(config, "cost_report")
    assert not other.seen


# -- refusals


@pytest.mark.slow
def test_a_refused_stream_does_not_stop_the_others(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    body = json.dumps(
        {
            "type": "error",
            "error": {
                "type": "permission_error",
                "message": "Missing required scopes. Got: ['a'] Needed: ['b']",
            },
        }
    )
    for status in (403, 404):
        simulator.seen.clear()
        simulator.faults[:] = [Fault(status=status, body=body, path="cost_report")]
        run = tap(config=settings(simulator, start_date=days_ago(2, NOW)))
        assert run.code == 1
        assert run.records("messages_usage")
        assert "messages_usage" in run.state["bookmarks"]
        assert "replication_key_value" not in run.state["bookmarks"].get("cost_report", {})
        (line,) = run.errors
        for part in ("cost_report", "Needed: ['b']", "Admin API key", "!cost_report.*"):
            assert part in line
        simulator.faults[:] = [Fault(status=status, body=body, path="cost_report")]
        skipped = tap(
            config=settings(simulator, start_date=days_ago(2, NOW), on_permission_error="skip")
        )
        assert skipped.code == 0
        assert not skipped.errors
        assert "cost_report: HTTP" in skipped.stderr


def test_a_400_with_a_permission_code_is_a_refusal(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    error = {
        "type": "invalid_request_error",
        "message": "not for you",
        "details": {"error_code": "organization_type_not_supported"},
    }
    simulator.faults.append(
        Fault(status=400, body=json.dumps({"error": error}), path="cost_report")
    )
    config = settings(simulator, start_date=days_ago(2, NOW))
    run = tap(config=config)
    assert run.code == 1
    assert run.records("messages_usage")
    assert "The stream needs an Admin API key" in run.errors[-1]
    simulator.faults.append(
        Fault(status=400, body=json.dumps({"error": error}), path="cost_report")
    )
    assert tap(config={**config, "on_permission_error": "skip"}).code == 0


def test_the_wrong_kind_of_key_is_refused_by_name(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    config = settings(simulator, start_date=days_ago(2, NOW), admin_api_key=ANALYTICS_KEY)
    run = tap(config=config, catalog=only(config, "cost_report", "messages_usage"))
    assert run.code == 1
    assert [line.split(":")[0] for line in run.errors] == ["cost_report", "messages_usage"]


def test_an_invalid_key_is_an_error_that_names_the_setting(simulate: Any, tap: Any) -> None:
    config = settings(simulate(days=3, now=NOW), admin_api_key="sk-ant-admin01-secretsecret")
    run = tap(config={**config, "start_date": days_ago(2, NOW)})
    assert run.code == 1
    assert "check the setting admin_api_key" in run.errors[-1]
    assert "secretsecret" not in run.stderr + run.stdout
    assert "Traceback" not in run.stderr


# -- logs


@pytest.mark.slow
def test_secrets_and_escapes_never_reach_a_log(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    echo = "your key sk-ant-admin01-simulator \x1b[2Jis\x07 bad\r\n\u202e" + "x" * 5000
    for status in (400, 403, 500):
        body = json.dumps({"error": {"type": "\x1b[31mred", "message": echo}})
        simulator.faults.append(Fault(status=status, body=body, headers=SOON, times=1))
    config = settings(simulator, start_date=days_ago(2, NOW))
    for level in ("INFO", "DEBUG"):
        for _ in range(3):
            run = tap(config=config, env={"TAP_CLAUDE_LOGLEVEL": level})
            output = run.stdout + run.stderr
            assert "sk-ant-admin01-simulator" not in output
            assert "\x1b" not in output
            assert "\u202e" not in output
    assert sanitize_for_log("a\x1b\tb\u202ec") == r"a\x1b b\u202ec"


def test_a_traceback_only_at_level_debug(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    config = settings(simulator, start_date=days_ago(2, NOW))
    simulator.faults.append(Fault(status=400, times=99))
    assert "Traceback" not in tap(config=config).stderr
    assert "Traceback" in tap(config=config, env={"TAP_CLAUDE_LOGLEVEL": "DEBUG"}).stderr


# -- invalid rows


@pytest.mark.slow
@pytest.mark.parametrize(
    "row",
    [
        {"amount": "twelve", "currency": "USD"},
        {"amount": "1", "currency": 5},
        {"amount": [], "currency": "USD"},
    ],
)
def test_an_invalid_value_is_an_error_that_names_the_field(
    simulate: Any, tap: Any, row: Any
) -> None:
    simulator = simulate(days=3, now=NOW)
    bucket = {
        "starting_at": days_ago(2, NOW),
        "ending_at": days_ago(1, NOW),
        "results": [row],
    }
    body = json.dumps({"data": [bucket], "has_more": False, "next_page": None})
    simulator.faults.append(Fault(status=200, body=body, path="cost_report"))
    run = tap(config=settings(simulator, start_date=days_ago(2, NOW)))
    assert run.code == 1
    assert "cost_report: field '" in run.errors[-1]
    assert not run.records("cost_report")
    assert "Traceback" not in run.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "bucket",
    [{}, [], None, {"starting_at": "soon", "ending_at": "later", "results": []}, {"results": [1]}],
)
def test_an_invalid_bucket_is_an_error(simulate: Any, tap: Any, bucket: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    body = json.dumps({"data": [bucket], "has_more": False, "next_page": None})
    simulator.faults.append(Fault(status=200, body=body, path="cost_report"))
    run = tap(config=settings(simulator, start_date=days_ago(2, NOW)))
    assert run.code == 1
    assert "cost_report: a bucket of the page cannot be read" in run.errors[-1]
    assert "Traceback" not in run.stderr


# -- a failed stream does not stop the others


def test_an_expired_token_does_not_stop_the_other_streams(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    config = settings(
        simulator,
        start_date=days_ago(2, NOW),
        access_token="sk-ant-oat01-expired",
        on_permission_error="skip",
    )
    run = tap(config=config)
    assert run.code == 1
    failed = {error.partition(":")[0] for error in run.errors}
    oauth = {
        "service_accounts",
        "service_account_workspaces",
        "federation_issuers",
        "federation_rules",
    }
    assert failed == oauth
    assert all("check the setting access_token" in error for error in run.errors)
    for stream in ("analytics_cost", "cost_report", "messages_usage", "users", "workspaces"):
        assert run.records(stream)
    assert run.bookmark("messages_usage") == days_ago(0, NOW)


def test_an_invalid_value_does_not_stop_the_other_streams(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    simulator.faults.append(Fault(path="analytics/usage", change=huge_integer))
    config = settings(simulator, start_date=days_ago(2, NOW))
    run = tap(config=config, catalog=only(config, "analytics_usage", "cost_report", "users"))
    assert run.code == 1
    (error,) = run.errors
    assert error.startswith("analytics_usage: field")
    assert "should be an integer of at most 64 bits, but is 9223372036854775808" in error
    assert run.records("cost_report")
    assert run.records("users")


@pytest.mark.slow
def test_an_api_that_is_down_ends_the_run_immediately(simulate: Any) -> None:
    """Not every stream waits through all retries."""
    simulator = simulate(days=3, now=NOW)
    simulator.faults.append(Fault(503, times=FOREVER))
    config = settings(simulator, start_date=days_ago(2, NOW))
    tap = TapClaude(config=config, catalog=only(config, "cost_report", "users"))
    with pytest.raises(Exception, match=r"^cost_report: HTTP 503"):
        tap.read_all()
    assert len(simulator.seen) == 14
    assert not tap.run.failures


@pytest.mark.parametrize("status", [403, 404])
def test_a_page_of_a_firewall_is_not_a_refusal(simulate: Any, tap: Any, status: int) -> None:
    """It is not an empty table either, with any on_permission_error."""
    simulator = simulate(days=3, now=NOW)
    page = "<html><body>Blocked by Web Firewall</body></html>"
    simulator.faults.append(Fault(status, body=page, path="cost_report", times=FOREVER))
    config = settings(simulator, start_date=days_ago(2, NOW), on_permission_error="skip")
    run = tap(config=config, catalog=only(config, "cost_report", "users"))
    assert run.code == 1
    (error,) = run.errors
    assert error.startswith(f"cost_report: HTTP {status}")
    assert "not an API response: check base_url, proxies and firewalls" in error
    assert run.records("users")


def test_a_bearer_token_is_sent_with_its_beta_header(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    config = settings(simulator, start_date=days_ago(2, NOW), access_token=ACCESS_TOKEN)
    del config["admin_api_key"]
    run = tap(config=config, catalog=only(config, "analytics_cost", "users"))
    assert run.code == 0, run.stderr
    betas = {
        path: simulator.requests(path)[0].headers["anthropic-beta"]
        for path in ("users", "analytics/cost")
    }
    assert betas == {
        "users": "oauth-2025-04-20",
        "analytics/cost": "oauth-2025-04-20,analytics-usage-cost-2026-08-24",
    }


# -- what must not reach a log


def test_values_are_not_printed_if_people_are_pseudonymized(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    body = json.dumps({"data": [{"id": "u", "email": ["ada@example.com"]}], "has_more": False})
    config = settings(simulator, start_date=days_ago(2, NOW))
    private = {"pseudonymize_users": "hash", "pseudonymize_key": "k" * 20}
    for more, shown in (({}, True), (private, False)):
        simulator.faults.append(Fault(200, body=body, path="users"))
        env = {"TAP_CLAUDE_LOGLEVEL": "DEBUG"}
        run = tap(config={**config, **more}, catalog=only(config, "users"), env=env)
        assert run.code == 1
        assert "users: field 'email' should be a string" in run.errors[-1]
        assert ("ada@example.com" in run.whole_stderr) is shown


def test_addresses_in_messages_of_the_api_are_masked(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    config = settings(
        simulator,
        start_date=days_ago(2, NOW),
        pseudonymize_users="hash",
        pseudonymize_key="k" * 20,
    )
    message = "ada@example.com may not read this"
    simulator.faults.append(Fault(400, path="users", message=message))
    run = tap(config=config, catalog=only(config, "users"))
    assert "*** may not read this" in run.errors[-1]
    assert "ada@" not in run.whole_stderr


def test_secrets_are_masked_wherever_text_is_printed(simulate: Any, tap: Any) -> None:
    """In a warning, an error, a traceback, a line of the command line."""
    secret = "sk-ant-oat01-very-secret-indeed"
    simulator = simulate(days=3, now=NOW)
    config = settings(
        simulator,
        start_date=days_ago(2, NOW),
        access_token=secret,
        reports=[{"name": "x", "report": secret}],
    )
    env = {"TAP_CLAUDE_LOGLEVEL": "DEBUG"}
    assert secret not in tap(config=config, env=env).whole_stderr
    config["reports"] = []
    simulator.faults.append(Fault(400, path="users", message=f"no {secret}"))
    simulator.faults.append(Fault(503, path="workspaces", message=f"no {secret}"))
    state = {"bookmarks": {"cost_report": {"replication_key_value": secret}}}
    run = tap(config=config, env=env, state=state)
    assert run.code == 1
    assert "***" in run.stderr
    assert "Traceback" in run.stderr
    assert secret not in run.whole_stderr
