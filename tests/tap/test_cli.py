"""The command line behaves as users of SDK taps expect."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from simulator.server import ACCESS_TOKEN, ANALYTICS_KEY
from tap_claude.lists import ListStream
from tap_claude.streams import REPORTS, STREAMS
from tests.conftest import NOW, days_ago, environment, only, settings

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.server import Simulator

SECRET = "sk-ant-admin01-simulator"


@pytest.fixture
def simulator(simulate: Any) -> Simulator:
    made: Simulator = simulate(days=5, now=NOW)
    return made


@pytest.fixture
def config(simulator: Simulator) -> dict[str, Any]:
    return settings(simulator, start_date=days_ago(4, NOW))


def test_discover_needs_no_key_and_no_request(simulator: Simulator, tap: Any) -> None:
    run = tap("--discover", config={"legacy_reports": True})
    assert run.code == 0
    streams = [s["stream"] for s in json.loads(run.stdout)["streams"]]
    assert sorted(streams) == sorted({*REPORTS, *STREAMS})
    assert streams[-1] == "report_buckets"
    tap("--discover", config={"base_url": simulator.url})
    assert not simulator.seen


def test_discover_lists_custom_reports_and_refuses_wrong_ones(tap: Any) -> None:
    good = {"name": "by_model", "report": "messages_usage", "group_by": ["model"]}
    run = tap("--discover", config={"reports": [good]})
    streams = {s["stream"]: s for s in json.loads(run.stdout)["streams"]}
    assert streams["by_model"]["key_properties"] == ["row_id"]
    assert streams["by_model"]["replication_key"] == "starting_at"
    wrong = tap("--discover", config={"reports": [{**good, "group_by": ["nothing"]}]})
    assert wrong.code == 1
    assert "reports[0].group_by" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_about(tap: Any) -> None:
    assert "admin_api_key" in tap("--about").stdout
    about = json.loads(tap("--about", "--format=json").stdout)
    assert about["name"] == "tap-claude"
    assert "3.11" in str(about["supported_python_versions"])
    assert about["settings"]["properties"]["admin_api_key"]["secret"] is True
    assert "| admin_api_key" in tap("--about", "--format=markdown").stdout
    assert SECRET not in tap("--about", config={"admin_api_key": SECRET}).stdout


def test_version(tap: Any) -> None:
    assert tap("--version").stdout.startswith("tap-claude v")


def test_test_reads_a_record_of_each_stream(
    tap: Any, config: dict[str, Any], tmp_path: Path
) -> None:
    run = tap(*_order("--test", config, tmp_path))
    assert run.code == 0, run.stderr
    streams = {s["stream"] for s in json.loads(tap("--discover", config=config).stdout)["streams"]}
    assert len(streams) > 10
    read = {m["stream"] for m in run.messages if m["type"] == "RECORD"}
    assert streams - {"report_buckets"} <= read <= streams
    assert not any(m["type"] == "ACTIVATE_VERSION" for m in run.messages)
    schema = tap(*_order("--test=schema", config, tmp_path))
    assert {m["type"] for m in schema.messages} == {"SCHEMA"}
    assert {m["stream"] for m in schema.messages} == streams


def _order(option: str, config: dict[str, Any], folder: Path) -> list[str]:
    """Put --config first; the SDK reads its options in order."""
    path = folder / "first.json"
    path.write_text(json.dumps(config))
    return ["--config", str(path), option]


def test_test_fails_if_the_key_may_not_read_a_stream(
    tap: Any, config: dict[str, Any], tmp_path: Path
) -> None:
    run = tap(*_order("--test", {**config, "admin_api_key": "sk-ant-api01-simulator"}, tmp_path))
    assert run.code == 1
    assert "cost_report: HTTP 403" in run.stderr


def test_config_from_the_environment(simulator: Simulator, tap: Any) -> None:
    env = {
        "TAP_CLAUDE_ADMIN_API_KEY": SECRET,
        "TAP_CLAUDE_BASE_URL": simulator.url,
        "TAP_CLAUDE_START_DATE": days_ago(4, NOW),
        "TAP_CLAUDE_END_DATE": NOW.isoformat(),
        "TAP_CLAUDE_REQUESTS_PER_MINUTE": "0",
        "TAP_CLAUDE_LOOKBACK_DAYS": "0",
        "TAP_CLAUDE_MODELS": '["claude-opus-4-6"]',
        "TAP_CLAUDE_REPORTS": '[{"name": "total", "report": "cost_report", "group_by": []}]',
    }
    run = tap("--config=ENV", env=env)
    assert run.code == 0, run.stderr
    assert {r["model"] for r in run.records("messages_usage")} == {"claude-opus-4-6"}
    assert len(run.records("total")) == 5


def environ(**more: str) -> dict[str, str]:
    """Return settings as variables, with an API that cannot be reached."""
    basics = {"ADMIN_API_KEY": SECRET, "BASE_URL": "http://127.0.0.1:9"}
    return {f"TAP_CLAUDE_{name}": value for name, value in {**basics, **more}.items()}


@pytest.mark.parametrize("option", [[], ["--test"], ["--discover"]], ids=str)
@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("REPORTS", "not json", "reports: must be an array; in an environment variable, write"),
        ("LEGACY_REPORTS", "maybe", "legacy_reports: must be true or false"),
        ("REQUESTS_PER_MINUTE", "abc", "requests_per_minute: must be an integer"),
        ("REQUEST_TIMEOUT", "0", "request_timeout: 0 is less than the minimum of 1"),
        ("MODELS", "[claude", "models: must be an array"),
        ("STREAM_MAPS", "x", "stream_maps: must be an object"),
    ],
)
def test_an_error_names_a_wrong_variable(
    option: list[str], name: str, text: str, says: str, tap: Any
) -> None:
    run = tap("--config=ENV", *option, env=environ(**{name: text}))
    assert run.code == 1
    assert says in " ".join(run.errors)
    assert len(run.errors) == 1
    assert "Traceback" not in run.stderr
    assert SECRET not in run.stderr
    assert not run.stdout


def test_a_secret_in_the_wrong_variable_is_not_printed(tap: Any) -> None:
    run = tap("--config=ENV", env=environ(REQUEST_TIMEOUT=SECRET, LEGACY_REPORTS=SECRET))
    assert run.code == 1
    assert len(run.errors) == 2
    assert SECRET not in run.stderr


def test_a_start_date_of_tomorrow_reads_no_report(simulate: Any, tap: Any) -> None:
    """It can be today in a time zone ahead of UTC."""
    config = settings(
        simulate(days=2),
        access_token=ACCESS_TOKEN,
        analytics_api_key=ANALYTICS_KEY,
        start_date=days_ago(-1),
        legacy_reports=True,
    )
    run = tap(config=config)
    assert run.code == 0, run.stderr
    assert not run.errors
    read = {message["stream"] for message in run.messages if message["type"] == "RECORD"}
    assert read
    tables = {name for name, stream in STREAMS.items() if issubclass(stream, ListStream)}
    assert read <= tables | {"report_buckets"}


def test_selection(tap: Any, config: dict[str, Any]) -> None:
    catalog = json.loads(tap("--discover", config=config).stdout)
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if not item["breadcrumb"]:
                item["metadata"]["selected"] = entry["stream"] == "messages_usage"
            elif item["breadcrumb"][-1] in {"model", "row_id", "starting_at"}:
                item["metadata"]["selected"] = False
    run = tap(config=config, catalog=catalog)
    assert run.code == 0, run.stderr
    assert set(run.schemas) == {"messages_usage"}
    properties = run.schemas["messages_usage"]["schema"]["properties"]
    for columns in (properties, *run.records("messages_usage")):
        assert "model" not in columns
        assert {"row_id", "starting_at", "output_tokens"} <= set(columns)


def test_a_run_without_a_selected_stream_logs_a_warning(tap: Any, config: dict[str, Any]) -> None:
    run = tap(config=config, catalog=only(config))
    assert run.code == 0, run.stderr
    assert "No stream is selected" in run.stderr
    assert "'*.*'" in run.stderr
    assert not run.schemas
    one = tap(config=config, catalog=only(config, "organization"))
    assert "No stream is selected" not in one.stderr


def test_stream_maps_and_flattening(tap: Any, config: dict[str, Any]) -> None:
    maps = {"cost_report": {"cents": "amount", "amount": None, "__filter__": "model is not None"}}
    run = tap(
        config={
            **config,
            "stream_maps": maps,
            "flattening_enabled": True,
            "flattening_max_depth": 1,
        }
    )
    assert run.code == 0, run.stderr
    records = run.records("cost_report")
    assert records
    assert all("cents" in r and "amount" not in r and r["model"] for r in records)
    assert run.bookmark("cost_report") == days_ago(0, NOW)


def test_batch_mode_bookmarks_only_rows_in_written_batches(
    tap: Any, config: dict[str, Any], tmp_path: Path
) -> None:
    batch = {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": tmp_path.as_uri(), "prefix": "b-"},
        "batch_size": 50,
    }
    catalog = only(config, "cost_report", "messages_usage")
    run = tap(config={**config, "batch_config": batch}, catalog=catalog)
    assert run.code == 0, run.stderr
    kinds = [m["type"] for m in run.messages]
    assert kinds.count("BATCH") > 4
    assert "RECORD" not in kinds
    assert run.bookmark("cost_report") == days_ago(0, NOW)
    # no STATE comes before the batch with its records
    import gzip  # noqa: PLC0415

    newest = {"cost_report": "", "messages_usage": ""}
    for message in run.messages:
        if message["type"] == "BATCH":
            for file in message["manifest"]:
                with gzip.open(file.removeprefix("file://"), "rt") as lines:
                    days = [json.loads(line)["starting_at"] for line in lines]
                newest[message["stream"]] = max(newest[message["stream"]], *days)
        elif message["type"] == "STATE":
            for stream, state in message["value"]["bookmarks"].items():
                assert state.get("replication_key_value", "") <= newest[stream]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--config", "missing.json"], "missing.json"),
        (["--config", "BROKEN"], "--config"),
        (["--config", "GOOD", "--state", "BROKEN"], "--state: is not JSON"),
        (["--config", "GOOD", "--catalog", "BROKEN"], "--catalog: is not JSON"),
        (["--config", "GOOD", "--state", "LIST"], "--state: must contain a JSON object"),
        (["--config", "GOOD", "--state", "LINES"], "--state: has several lines"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_unreadable_files_are_named_in_one_line(
    arguments: list[str], says: str, tap: Any, tmp_path: Path
) -> None:
    for name, text in (
        ("BROKEN", "{"),
        ("LIST", "[]"),
        ("LINES", '{"bookmarks": {}}\n' * 2),
        ("GOOD", json.dumps({"admin_api_key": SECRET, "base_url": "http://127.0.0.1:9"})),
    ):
        (tmp_path / name).write_text(text)
    run = tap(*[str(tmp_path / a) if a.isupper() else a for a in arguments])
    assert run.code == 1
    assert says in run.stderr
    assert "Traceback" not in run.stderr
    assert not run.stdout


@pytest.mark.slow
@pytest.mark.parametrize("value", ["soon", 5, ["x"]])
def test_an_error_names_a_bookmark_that_is_not_a_time(
    tap: Any, config: dict[str, Any], value: Any
) -> None:
    bookmark = {"replication_key": "starting_at", "replication_key_value": value}
    run = tap(config=config, state={"bookmarks": {"cost_report": bookmark}})
    assert run.code == 1
    assert "cost_report: the state's replication_key_value" in run.errors[-1]
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_end_the_run_with_valid_output(
    simulate: Any, tmp_path: Path, signum: signal.Signals, code: int
) -> None:
    simulator = simulate(days=400)
    path = tmp_path / "config.json"
    path.write_text(
        json.dumps(settings(simulator, start_date=days_ago(399), requests_per_minute=120))
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "tap_claude", "--config", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout
    lines = [process.stdout.readline()]
    while '{"type":"STATE"' not in lines[-1]:
        lines.append(process.stdout.readline())
    process.send_signal(signum)
    sent = len(simulator.seen)
    rest, stderr = process.communicate(timeout=300)
    assert len(simulator.seen) <= sent + 2  # of many
    assert process.returncode == code
    messages = [json.loads(line) for line in [*lines, *rest.splitlines()]]
    assert any(m["type"] == "STATE" for m in messages)
    assert "Traceback" not in stderr


def test_a_closed_pipe_ends_the_run_with_one_line(simulate: Any, tmp_path: Path) -> None:
    simulator = simulate(days=400)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(settings(simulator, start_date=days_ago(399))))
    read_end, write_end = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "tap_claude", "--config", str(path)],
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    os.close(write_end)
    os.read(read_end, 1000)
    os.close(read_end)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "The target closed the pipe" in stderr
    assert "Traceback" not in stderr
    assert "Exception ignored" not in stderr
