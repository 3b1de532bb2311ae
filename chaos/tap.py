"""Run the tap like a user, load its output like a target, and check the result."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.server import CREDENTIALS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from simulator.faults import Kind

Row = dict[str, Any]
Json = dict[str, Any]
DEADLINE = 60.0
"""Timeout of a run in seconds."""
MEMORY = 3 * 2**29
"""Memory limit of a run, where supported: it is exceeded by a copy of a 1 GB response."""
IMPATIENT = """
from tap_claude import client
from tap_claude.tap import TapClaude
client.FIRST_WAIT = 0.001
TapClaude.cli()
"""
"""The tap, with retry delays that are a thousand times shorter."""
REPLACEMENT = "\ufffd"
"""Replacement for characters that databases cannot store."""
TYPES = {"SCHEMA", "RECORD", "STATE", "ACTIVATE_VERSION"}


@dataclass
class Run:
    """The result of one run of the tap."""

    code: int | None
    """None if the run timed out."""
    stdout: str
    stderr: str
    seconds: float = 0

    @property
    def messages(self) -> list[Json]:
        """Return the Singer messages, from complete lines only."""
        lines = self.stdout.splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n") and _is_message(line)]

    @property
    def errors(self) -> list[str]:
        """Return the messages at level ERROR or above, and click's error messages."""
        return [
            line.split(" | ")[-1].strip()
            for line in self.stderr.splitlines()
            if re.search(r"\| (ERROR|CRITICAL) ", line) or line.startswith("Error: ")
        ]


def run_tap(
    config: Mapping[str, Any],
    catalog: Mapping[str, Any] | None = None,
    state: Mapping[str, Any] | None = None,
    *arguments: str,
    deadline: float = DEADLINE,
    is_impatient: bool = False,
) -> Run:
    """Run the tap in a separate process; its keys are only in its config file."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("TAP_CLAUDE")}
    env |= {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
    program = ("-c", IMPATIENT) if is_impatient else ("-m", "tap_claude")
    command = [sys.executable, *program, *arguments]
    with tempfile.TemporaryDirectory() as directory:
        for option, content in (("config", config), ("catalog", catalog), ("state", state)):
            if content is not None:
                path = Path(directory, f"{option}.json")
                path.write_text(json.dumps(content))
                command += [f"--{option}", str(path)]
        started = time.monotonic()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        ) as process:
            _limit_memory(process.pid)
            try:
                stdout, stderr = process.communicate(timeout=deadline)
                code: int | None = process.returncode
            except subprocess.TimeoutExpired:
                process.kill()
                stdout, stderr = process.communicate()
                code = None
    return Run(code, stdout, stderr, time.monotonic() - started)


def _limit_memory(pid: int) -> None:
    if sys.platform == "linux":
        import resource  # noqa: PLC0415

        resource.prlimit(pid, resource.RLIMIT_AS, (MEMORY, MEMORY))


class Tables:
    """The tables of a target: rows by key, without deleted ones."""

    def __init__(self) -> None:
        """Start without tables."""
        self.rows: dict[str, dict[tuple[Any, ...], Row]] = {}
        self.state: Json = {}
        self._keys: dict[str, list[str]] = {}
        self._versions: dict[tuple[str, tuple[Any, ...]], int | None] = {}

    def load(self, messages: Iterable[Json]) -> None:
        """Load the messages of another run."""
        for message in messages:
            stream = message.get("stream", "")
            if message["type"] == "SCHEMA":
                self._keys[stream] = message["key_properties"]
            elif message["type"] == "RECORD":
                row = _without_times_of_run(message["record"])
                key = tuple(row[name] for name in self._keys[stream])
                self.rows.setdefault(stream, {})[key] = row
                self._versions[stream, key] = message.get("version")
            elif message["type"] == "ACTIVATE_VERSION":
                rows = self.rows.setdefault(stream, {})
                for key in list(rows):
                    if self._versions[stream, key] != message["version"]:
                        del rows[key]
            else:
                self.state = message["value"]

    def only(self, streams: Iterable[str]) -> Tables:
        """Return the rows of these streams, and their rows of the bucket log."""
        chosen = set(streams)
        tables = Tables()
        for stream in chosen & self.rows.keys():
            tables.rows[stream] = {
                key: row
                for key, row in self.rows[stream].items()
                if stream != "report_buckets" or row["stream"] in chosen
            }
        return tables

    def without_replacements(self) -> tuple[Tables, int]:
        """Return the rows with U+FFFD removed, and the number of rows that contained it."""
        tables, count = Tables(), 0
        for stream, rows in self.rows.items():
            tables.rows[stream] = {key: _without_replacements(row) for key, row in rows.items()}
            count += sum(tables.rows[stream][key] != row for key, row in rows.items())
        return tables, count


def _without_times_of_run(record: Row) -> Row:
    is_full = (
        record.get("bucket_width") == "full"
    )  # the bucket of a full table has the time of the run
    times = {"extracted_at", *(("starting_at", "ending_at") if is_full else ())}
    return {name: value for name, value in record.items() if name not in times}


def _without_replacements(row: Row) -> Row:
    return {
        name: value.replace(REPLACEMENT, "") if isinstance(value, str) else value
        for name, value in row.items()
    }


# -- checks


def output_complaints(run: Run) -> list[str]:
    """Return violations of the rules that apply to every run."""
    found = []
    if run.code is None:
        found.append(f"not finished within {run.seconds:.0f} s")
    if "Traceback" in run.stderr:
        found.append("a traceback")
    if any(key in run.stdout + run.stderr for key in CREDENTIALS):
        found.append("a key was printed")
    if run.stdout and not run.stdout.endswith("\n"):
        found.append("the last line of stdout is incomplete")
    lines = run.stdout.splitlines()
    found += [f"not a Singer message: {line:.60}" for line in lines if not _is_message(line)]
    return found + _message_complaints(run.messages)


def _message_complaints(messages: Iterable[Json]) -> list[str]:
    found = []
    streams = set()
    for message in messages:
        if message["type"] == "SCHEMA":
            streams.add(message["stream"])
        elif message["type"] == "STATE":
            if not isinstance(message["value"].get("bookmarks", {}), dict):
                found.append(f"not a state: {message!s:.60}")
        elif message["stream"] not in streams:
            found.append(f"{message['type']} before SCHEMA: {message['stream']}")
    return found


def difference(tables: Tables, right: Tables) -> list[str]:
    """Return the differences from the correct rows."""
    found = []
    for stream in sorted(tables.rows.keys() | right.rows.keys()):
        mine, theirs = tables.rows.get(stream, {}), right.rows.get(stream, {})
        missing, extra = theirs.keys() - mine.keys(), mine.keys() - theirs.keys()
        other = [key for key in mine.keys() & theirs.keys() if mine[key] != theirs[key]]
        if missing or extra or other:
            found.append(
                f"{stream}: of {len(theirs)} rows {len(missing)} are missing, "
                f"{len(extra)} too many, {len(other)} different"
            )
    return found


def bookmark_complaints(tables: Tables, right: Tables) -> list[str]:
    """Return the bookmarks of buckets that were not completely written."""
    found = []
    for stream, state in tables.state.get("bookmarks", {}).items():
        for part in [state, *state.get("partitions", ())]:
            name, value = part.get("replication_key"), part.get("replication_key_value")
            if not name or not value:
                continue
            # The organization or workspace that the bookmark is for.
            place = part.get("context") or {"organization_type": part.get("organization_type")}
            due = [
                key
                for key, row in right.rows.get(stream, {}).items()
                if row[name] <= value
                and all(of in {None, row.get(column)} for column, of in place.items())
            ]
            lost = sum(key not in tables.rows.get(stream, {}) for key in due)
            if lost:
                found.append(f"{stream}: the bookmark {value} skips {lost} rows")
    return found


def error_complaints(run: Run, kind: Kind, streams: Iterable[str]) -> list[str]:
    """Return problems of the error line of a failed run; it must name one of the streams."""
    if run.code is None:
        return []
    if run.code != 1:
        return [f"exit code {run.code} instead of 1"]
    if len(run.errors) != 1:
        return [f"{len(run.errors)} ERROR lines instead of one: {run.errors}"]
    (line,) = run.errors
    if not line.startswith(tuple(f"{stream}: " for stream in streams)):
        return [f"the line does not name the stream: {line}"]
    if not re.search(kind.error, line):
        return [f"the line does not match {kind.error!r}: {line}"]
    return []


def success_complaints(run: Run) -> list[str]:
    """Return problems of a run that should have succeeded."""
    if run.code is None:
        return []  # already reported
    if run.code:
        return [f"exit code {run.code}: {'; '.join(run.errors) or run.stderr[-300:]}"]
    return [f"an ERROR line: {line}" for line in run.errors]


def _is_message(line: str) -> bool:
    try:
        return json.loads(line)["type"] in TYPES
    except (ValueError, KeyError, TypeError):
        return False


@dataclass
class Result:
    """One line of the table: a kind of fault, on one endpoint or on several."""

    fault: str
    injected: int = 0
    runs: int = 0
    survived: int = 0
    requests: int = 0
    retries: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)

    def add(self, other: Result) -> None:
        """Add the result of another endpoint."""
        for name in ("injected", "runs", "survived", "requests", "retries"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.ends += other.ends
        self.complaints += other.complaints


def table(results: Iterable[Result]) -> str:
    """Return the results as a Markdown table."""
    lines = [("fault", "injected", "survived", "how", "requests", "retries")]
    lines += [
        (
            it.fault,
            str(it.injected),
            f"{it.survived} of {it.runs}",
            ", ".join(sorted(it.ends)),
            str(it.requests),
            str(it.retries),
        )
        for it in results
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = (False, True, True, False, True, True)

    def printed(cells: Iterable[str]) -> str:
        padded = (
            cell.rjust(width) if at_right else cell.ljust(width)
            for cell, width, at_right in zip(cells, widths, right, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * (width - 1) + (":" if at_right else "-")
        for width, at_right in zip(widths, right, strict=True)
    ]
    return "\n".join([printed(lines[0]), printed(rule), *map(printed, lines[1:])])
