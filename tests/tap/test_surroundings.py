"""The surroundings of the process: pipes, proxies, certificates, disks, clocks, environments."""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from simulator.server import ADMIN_KEY, Fault
from tap_claude.errors import MAX_RETRY_AFTER
from tap_claude.session import CONNECT_TIMEOUT
from tap_claude.tap import TapClaude
from tests.conftest import (
    NOW,
    days_ago,
    environment,
    file_options,
    only,
    settings,
    tap_command,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow


# -- standard output


@pytest.mark.parametrize("unbuffered", [True, False], ids=["unbuffered", "buffered"])
@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "non-blocking"])
def test_every_byte_arrives_for_any_kind_of_standard_output(
    simulate: Any, tap: Any, tmp_path: Path, *, unbuffered: bool, blocking: bool
) -> None:
    """Container images set PYTHONUNBUFFERED; a write may then be short, here by signals."""
    simulator = simulate(days=200, breadth=40, now=NOW)
    config = settings(simulator, start_date=days_ago(190, NOW))
    catalog = only(config, "messages_usage")
    whole = tap(config=config, catalog=catalog)
    reader, writer = os.pipe()
    if not blocking:
        fcntl.fcntl(writer, fcntl.F_SETFL, fcntl.fcntl(writer, fcntl.F_GETFL) | os.O_NONBLOCK)
    process = subprocess.Popen(
        tap_command(tmp_path, config=config, catalog=catalog),
        stdout=writer,
        stderr=subprocess.DEVNULL,
        env=environment(PYTHONUNBUFFERED="1" if unbuffered else ""),
    )
    os.close(writer)
    received = bytearray()
    # A slow reader: the pipe is full for most of the run, and the tap is stopped while it waits.
    for number in range(10**6):
        chunk = os.read(reader, 30_000)
        if not chunk:
            break
        received += chunk
        if number % 20 == 0 and number < 200:
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.01)
            process.send_signal(signal.SIGCONT)
        time.sleep(0.001)
    os.close(reader)
    assert process.wait() == 0
    messages = [json.loads(line) for line in received.splitlines()]
    records = [m["record"] for m in messages if m["type"] == "RECORD"]
    assert len(records) == len(whole.records("messages_usage")) > 4000
    assert {r["row_id"] for r in records} == {r["row_id"] for r in whole.records("messages_usage")}
    assert messages[-1]["type"] == "STATE"


DISK_FULL = """
import errno, logging
from tap_claude.tap import one_line_errors
with one_line_errors(logging.getLogger()):
    print("a line for the target")
    raise OSError(errno.ENOSPC, "No space left on device")
"""


def test_a_full_disk_elsewhere_loses_no_line_that_is_buffered() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DISK_FULL],
        capture_output=True,
        text=True,
        check=False,
        env=environment(PYTHONUNBUFFERED=""),
    )
    assert (done.returncode, done.stdout) == (1, "a line for the target\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_ends_the_run_without_a_state_for_lost_records(
    simulate: Any, tmp_path: Path, unbuffered: str
) -> None:
    simulator = simulate(days=60, breadth=40, now=NOW)
    config = settings(simulator, start_date=days_ago(50, NOW))
    words = tap_command(tmp_path, config=config, catalog=only(config, "messages_usage", "users"))
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            words,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=environment(PYTHONUNBUFFERED=unbuffered),
        )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


# -- proxies and certificates


class _Forwarder(BaseHTTPRequestHandler):
    """Passes requests on to a simulator, behind TLS."""

    target = ""

    def do_POST(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        import requests  # noqa: PLC0415

        headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
        sent = self.rfile.read(int(self.headers.get("content-length", 0)))
        response = requests.request(
            self.command, self.target + self.path, headers=headers, data=sent, timeout=30
        )
        body = response.content
        self.send_response(response.status_code)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def inspected(simulate: Any, tmp_path: Path) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """Serve a simulator with a certificate that only a private bundle accepts."""
    simulator = simulate(days=3, now=NOW)
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    bundle = tmp_path / "bundle.pem"
    authority.cert_pem.write_to_path(str(bundle))
    handler = type("Handler", (_Forwarder,), {"target": simulator.url})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield (
        f"https://localhost:{server.server_address[1]}",
        bundle,
        settings(simulator, start_date=days_ago(2, NOW)),
    )
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_certificates_of_the_environment_are_used(inspected: Any, tap: Any, name: str) -> None:
    url, bundle, config = inspected
    config["base_url"] = url
    env = {"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": "", name: str(bundle)}
    run = tap(config=config, catalog=only(config, "users"), env=env)
    assert run.code == 0, run.stderr
    assert run.records("users")


def test_an_unknown_certificate_is_not_retried(inspected: Any, tap: Any) -> None:
    url, _, config = inspected
    config["base_url"] = url
    env = {"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": ""}
    run = tap(config=config, catalog=only(config, "users", "cost_report"), env=env)
    assert run.code == 1
    (error,) = run.errors
    assert "certificate verify failed" in error
    assert error.endswith("set REQUESTS_CA_BUNDLE to a file with the certificates to trust")
    assert "Retrying" not in run.stderr


def test_the_token_endpoint_needs_a_certificate_too(
    inspected: Any, tap: Any, tmp_path: Path
) -> None:
    url, bundle, _ = inspected
    (tmp_path / "token").write_text("e30.e30.aGk")
    config = {
        "base_url": url,
        "federation_rule_id": "fdrl_01x",
        "federation_organization_id": "11111111-2222-3333-4444-555555555555",
        "identity_token_file": str(tmp_path / "token"),
    }
    env = {"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": ""}
    run = tap(config=config, catalog=only(config, "users", "cost_report"), env=env)
    (error,) = run.errors
    assert error.startswith("cost_report: token exchange: no usable response from localhost")
    assert error.endswith("set REQUESTS_CA_BUNDLE to a file with the certificates to trust")
    env["REQUESTS_CA_BUNDLE"] = str(bundle)
    run = tap(config=config, catalog=only(config, "users"), env=env)
    assert "certificate" not in run.stderr
    assert "token exchange: HTTP 400 invalid_grant: organization_id" in run.errors[-1]


def test_an_error_names_a_missing_bundle(inspected: Any, tap: Any) -> None:
    url, _, config = inspected
    config["base_url"] = url
    env = {"REQUESTS_CA_BUNDLE": "/nowhere/bundle.pem"}
    run = tap(config=config, catalog=only(config, "users", "cost_report"), env=env)
    assert run.code == 1
    (error,) = run.errors
    assert "/nowhere/bundle.pem" in error
    assert "REQUESTS_CA_BUNDLE" in error


def test_a_loopback_server_is_never_reached_through_a_proxy(simulate: Any, tap: Any) -> None:
    """The proxy is another machine, and would get the key unencrypted."""
    simulator = simulate(days=3, now=NOW)
    heard = []
    proxy = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{proxy.getsockname()[1]}"

    def listen() -> None:
        while True:
            try:
                connection, _ = proxy.accept()
            except OSError:
                return
            heard.append(connection.recv(1000))
            connection.close()

    threading.Thread(target=listen, daemon=True).start()
    config = settings(simulator, start_date=days_ago(2, NOW))
    env = {"HTTP_PROXY": url, "http_proxy": url, "NO_PROXY": "", "no_proxy": ""}
    run = tap(config=config, catalog=only(config, "users"), env=env)
    assert run.code == 0, run.stderr
    assert not heard
    # For other hosts, it is used.
    config["base_url"] = "https://api.example.test"
    env = {"HTTPS_PROXY": url, "https_proxy": url, "NO_PROXY": "", "no_proxy": ""}
    with subprocess.Popen(
        [sys.executable, "-m", "tap_claude", "--config=ENV"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(
            TAP_CLAUDE_ADMIN_API_KEY=ADMIN_KEY, TAP_CLAUDE_BASE_URL=config["base_url"], **env
        ),
    ) as process:
        until = time.monotonic() + 300
        while not heard and time.monotonic() < until:
            time.sleep(0.05)
        process.kill()
    proxy.close()
    assert heard[0].startswith(b"CONNECT api.example.test:443")
    assert ADMIN_KEY.encode() not in heard[0]


# -- disks


CLAUDE_CODE = ("claude_code_model_usage", "claude_code_usage")


def test_without_a_writable_disk_responses_are_kept_in_memory(
    simulate: Any, tmp_path: Path
) -> None:
    """As in a container with a read-only file system: there is no temporary directory."""
    simulator = simulate(days=10, now=NOW)
    config = settings(simulator, start_date=days_ago(9, NOW))
    script = (
        "import tempfile, tap_claude.response_cache as cache\n"
        "def none(*_, **__): raise FileNotFoundError('No usable temporary directory found')\n"
        "tempfile.TemporaryFile = none\n"
        "{more}\n"
        "from tap_claude.tap import TapClaude\n"
        "TapClaude.cli()\n"
    )
    words = file_options(tmp_path, config=config, catalog=only(config, *CLAUDE_CODE))
    for more, requests in (("", 10), ("cache.MEMORY_BYTES = 1", 20)):
        simulator.seen.clear()
        done = subprocess.run(
            [sys.executable, "-c", script.format(more=more), *words],
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
        )
        assert done.returncode == 0, done.stderr
        assert len(simulator.requests("usage_report/claude_code")) == requests


def test_names_and_addresses_never_reach_the_disk(simulate: Any, tmp_path: Path) -> None:
    simulator = simulate(days=3, now=NOW)
    config = settings(simulator, start_date=days_ago(2, NOW))
    script = (
        "import tempfile\n"
        "def none(*_, **__): raise AssertionError('a file')\n"
        "tempfile.TemporaryFile = none\n"
        "from tap_claude.tap import TapClaude\n"
        "TapClaude.cli()\n"
    )
    for private, code in (({}, 1), ({"pseudonymize_users": "drop"}, 0)):
        words = file_options(
            tmp_path, config={**config, **private}, catalog=only(config, *CLAUDE_CODE)
        )
        done = subprocess.run(
            [sys.executable, "-c", script, *words],
            capture_output=True,
            check=False,
            env=environment(),
        )
        assert done.returncode == code, done.stderr


# -- clocks


@pytest.mark.parametrize("stream", ["cost_report", "claude_code_usage"])
def test_a_bookmark_in_the_future_counts_as_now(simulate: Any, tap: Any, stream: str) -> None:
    simulator = simulate(days=20)
    config = settings(simulator, start_date=days_ago(15), lookback_days=5)
    state = tap(config=config, catalog=only(config, stream)).state
    far = (dt.datetime.now(dt.UTC) + dt.timedelta(days=400)).date().isoformat()
    bookmark = state["bookmarks"][stream]
    kept = bookmark["replication_key_value"]
    bookmark["replication_key_value"] = far if stream.startswith("claude") else f"{far}T00:00:00Z"
    run = tap(config=config, catalog=only(config, stream), state=state)
    assert run.code == 0, run.stderr
    assert "is in the future (wrong clock?)" in run.stderr
    days = {r.get("date") or r["starting_at"][:10] for r in run.records(stream)}
    assert min(days) >= days_ago(5)[:10]
    assert len(days) >= 4
    assert run.bookmark(stream) == kept


def test_a_server_without_responses_does_not_block_a_run_for_hours(simulate: Any) -> None:
    """Connecting has its own timeout, and the number of attempts is limited."""
    simulator = simulate(days=3, now=NOW)
    run = TapClaude(config=settings(simulator, request_timeout=300)).streams["users"].run  # type: ignore[attr-defined]
    session = run.client._session  # noqa: SLF001
    seen: list[Any] = []

    class Adapter:
        def send(self, *_: Any, timeout: Any, **__: Any) -> Any:
            seen.append(timeout)
            raise TimeoutError

        def close(self) -> None: ...

    session._requests.mount("http://", Adapter())  # noqa: SLF001
    with pytest.raises(TimeoutError):
        session.get(simulator.url, dict, timeout=300, max_bytes=1000)
    assert seen == [(CONNECT_TIMEOUT, 300)]
    assert CONNECT_TIMEOUT == 10
    assert MAX_RETRY_AFTER + 4 * 300 <= 1800


# -- characters in names


@pytest.mark.parametrize(
    ("sent", "emitted"),
    [
        (r"\ud800", "\ufffd"),
        (r"a\u0000b", "a\ufffdb"),
        (r"\udc00\ud800", "\ufffd\ufffd"),
        (r"\ud83d\ude00", "\U0001f600"),
        (r"\\ud800", r"\ud800"),
    ],
)
def test_characters_that_targets_cannot_store_are_replaced(
    simulate: Any, tap: Any, sent: str, emitted: str
) -> None:
    simulator = simulate(days=3, now=NOW)
    body = f'{{"data": [{{"id": "user_1", "name": "{sent}"}}], "has_more": false}}'
    simulator.faults.append(Fault(200, body=body, path="users"))
    config = settings(simulator, start_date=days_ago(2, NOW))
    run = tap(config=config, catalog=only(config, "users"))
    assert run.code == 0, run.stderr
    assert [r["name"] for r in run.records("users")] == [emitted]
    assert len(simulator.requests("users")) == 1


# -- a catalogue of an older version


@pytest.mark.parametrize("more", [{}, {"stream_maps": {"users": {"copy": "email"}}}])
def test_a_column_that_the_catalogue_lacks_is_not_written(
    simulate: Any, tap: Any, more: dict[str, Any]
) -> None:
    simulator = simulate(days=3, now=NOW)
    config = settings(simulator, start_date=days_ago(2, NOW), **more)
    catalog = only(config, "users")
    for entry in catalog["streams"]:
        for column in ("organization_label", "added_at"):
            entry["schema"]["properties"].pop(column, None)
        entry["metadata"] = [
            item
            for item in entry["metadata"]
            if item["breadcrumb"][1:] not in (["organization_label"], ["added_at"])
        ]
    run = tap(config=config, catalog=catalog)
    assert run.code == 0, run.stderr
    columns = set(run.schemas["users"]["schema"]["properties"])
    assert "added_at" not in columns
    for record in run.records("users"):
        assert set(record) == columns


# -- the environment of the process


@pytest.mark.parametrize(
    "env",
    [
        {"TZ": "Asia/Tokyo"},
        {"TZ": "America/Los_Angeles"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
        {"PYTHONHASHSEED": "1", "PYTHONOPTIMIZE": "2"},
    ],
    ids=lambda env: "-".join(env.values()),
)
def test_the_environment_changes_no_row(simulate: Any, tap: Any, env: dict[str, str]) -> None:
    """Days are UTC in any time zone, and names are UTF-8 in any locale."""
    simulator = simulate(days=8, now=NOW)
    body = '{"data": [{"id": "user_1", "name": "Zoë 😀"}], "has_more": false}'
    config = settings(simulator, start_date=days_ago(7, NOW))
    catalog = only(config, "users", "analytics_cost", "claude_code_usage", "cost_report")
    rows = []
    for more in ({}, env):
        simulator.faults.append(Fault(200, body=body.encode(), path="users"))
        run = tap(config=config, catalog=catalog, env=more)
        assert run.code == 0, run.stderr
        records = [m["record"] for m in run.messages if m["type"] == "RECORD"]
        rows.append([{**record, "extracted_at": None} for record in records])
    assert rows[0] == rows[1]
    assert [r["name"] for r in run.records("users")] == ["Zoë 😀"]


def test_a_closed_standard_error_costs_no_row(simulate: Any, tap: Any, tmp_path: Path) -> None:
    simulator = simulate(days=4, now=NOW)
    config = settings(simulator, start_date=days_ago(3, NOW))
    whole = tap(config=config)
    words = tap_command(tmp_path, config=config)
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", *words],
        stdout=subprocess.PIPE,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0
    assert done.stdout.count(b'"RECORD"') == whole.stdout.count('"RECORD"')


def test_a_file_that_may_not_grow_ends_the_run(simulate: Any, tmp_path: Path) -> None:
    """The limit of a shell (ulimit -f): no STATE may follow truncated records."""
    simulator = simulate(days=60, breadth=40, now=NOW)
    config = settings(simulator, start_date=days_ago(50, NOW))
    words = tap_command(tmp_path, config=config, catalog=only(config, "messages_usage"))
    out = tmp_path / "out"
    done = subprocess.run(
        ["bash", "-c", f'ulimit -f 200; exec "$@" > {out}', "bash", *words],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 1
    assert "File too large" in done.stderr
    *lines, last = out.read_bytes().split(b"\n")
    states = [json.loads(line) for line in lines if b'"STATE"' in line]
    assert last
    assert all("messages_usage" not in s["value"].get("bookmarks", {}) for s in states)


def test_two_runs_at_once_load_the_same_rows(simulate: Any, tap: Any, tmp_path: Path) -> None:
    """A scheduler that starts a run twice duplicates no key."""
    simulator = simulate(days=6, now=NOW)
    config = settings(simulator, start_date=days_ago(5, NOW))
    whole = tap(config=config, catalog=only(config, "analytics_cost", "users"))
    words = tap_command(tmp_path, config=config, catalog=only(config, "analytics_cost", "users"))
    runs = [
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(2)
    ]
    keys = []
    for process in runs:
        out, _ = process.communicate()
        assert process.returncode == 0
        records = [json.loads(line) for line in out.splitlines() if '"RECORD"' in line]
        keys.append({r["record"].get("row_id") or r["record"]["id"] for r in records})
    expected = {r["row_id"] for r in whole.records("analytics_cost")}
    assert keys[0] == keys[1] == expected | {r["id"] for r in whole.records("users")}


def test_requests_forbid_caching_by_proxies(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    config = settings(simulator, start_date=days_ago(2, NOW))
    tap(config=config, catalog=only(config, "users"))
    assert {seen.headers["cache-control"] for seen in simulator.seen} == {"no-cache"}
