"""The short form of ``make chaos``, and proof that its checks can fail."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from chaos import randomly, scripted, world
from chaos.__main__ import main
from chaos.tap import (
    Result,
    Run,
    Tables,
    bookmark_complaints,
    difference,
    error_complaints,
    output_complaints,
    success_complaints,
    table,
)
from simulator.faults import KINDS
from simulator.server import ADMIN_KEY


@pytest.mark.long
def test_the_tap_survives_each_fault_once() -> None:
    results = scripted.scripted(short=True)
    assert [it.complaints for it in results if it.complaints] == []
    assert {kind.name for kind in KINDS} < {it.fault for it in results}
    for it in results:
        assert it.injected >= 1, it.fault
        assert it.survived == it.runs >= 1, it.fault
    lines = table(results).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert len(lines) == len(results) + 2


@pytest.mark.slow
@pytest.mark.parametrize("runs", [4, pytest.param(10, marks=pytest.mark.long)])
def test_a_few_random_runs(runs: int) -> None:
    outcomes = list(randomly.randomly(1, runs))
    assert [it.complaints for it in outcomes] == [[]] * runs
    assert sum(len(it.injected) for it in outcomes) > runs


# -- the checks can fail


def line(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields}) + "\n"


BOOKMARK = {"replication_key": "date", "replication_key_value": "2026-01-02"}
SCHEMA = line("SCHEMA", stream="days", key_properties=["date"], schema={})
ROWS = [
    line("RECORD", stream="days", record={"date": f"2026-01-0{n}", "n": n, "extracted_at": "x"})
    for n in (1, 2)
]
STATE = line("STATE", value={"bookmarks": {"days": BOOKMARK}})
GOOD = SCHEMA + "".join(ROWS) + STATE
ERROR = "2026-01-01 | ERROR    | tap-claude | "
(NO_RETRY,) = (kind for kind in KINDS if kind.name == "500, x-should-retry: false")


def loaded(*outputs: str) -> Tables:
    tables = Tables()
    for output in outputs:
        tables.load(Run(0, output, "").messages)
    return tables


def test_a_good_run_has_no_complaints() -> None:
    run = Run(0, GOOD, "")
    assert output_complaints(run) == success_complaints(run) == []
    assert difference(loaded(GOOD, GOOD), loaded(GOOD)) == []
    assert bookmark_complaints(loaded(GOOD), loaded(GOOD)) == []


@pytest.mark.parametrize(
    ("stdout", "stderr", "complaint"),
    [
        (GOOD, "Traceback (most recent call last):", "a traceback"),
        (GOOD, f"key {ADMIN_KEY}", "a key was printed"),
        (GOOD + ADMIN_KEY, "", "a key was printed"),
        (GOOD + '{"type": "REC', "", "incomplete"),
        (GOOD + "hello\n", "", "not a Singer message: hello"),
        (ROWS[0], "", "RECORD before SCHEMA: days"),
        (line("STATE", value={"bookmarks": []}), "", "not a state"),
    ],
)
def test_bad_output_is_found(stdout: str, stderr: str, complaint: str) -> None:
    assert any(complaint in text for text in output_complaints(Run(0, stdout, stderr)))


def test_rows_that_differ_are_found() -> None:
    missing = loaded(SCHEMA + ROWS[0] + STATE)
    assert difference(missing, loaded(GOOD)) == [
        "days: of 2 rows 1 are missing, 0 too many, 0 different"
    ]
    assert difference(loaded(GOOD), missing) == [
        "days: of 1 rows 0 are missing, 1 too many, 0 different"
    ]
    other = loaded(GOOD.replace('"n": 2', '"n": 3'))
    assert difference(other, loaded(GOOD)) == [
        "days: of 2 rows 0 are missing, 0 too many, 1 different"
    ]
    assert difference(loaded(GOOD.replace('"x"', '"y"')), loaded(GOOD)) == []


def test_a_bookmark_that_passes_rows_is_found() -> None:
    (complaint,) = bookmark_complaints(loaded(SCHEMA + ROWS[1] + STATE), loaded(GOOD))
    assert "the bookmark 2026-01-02 skips 1 rows" in complaint


def test_missing_rows_are_deleted() -> None:
    def version(number: int, *names: str) -> str:
        rows = [line("RECORD", stream="s", record={"id": n}, version=number) for n in names]
        schema = line("SCHEMA", stream="s", key_properties=["id"], schema={})
        return "".join([schema, *rows, line("ACTIVATE_VERSION", stream="s", version=number)])

    assert set(loaded(version(1, "a", "b"), version(2, "b")).rows["s"]) == {("b",)}


@pytest.mark.parametrize(
    ("code", "stderr", "complaint"),
    [
        (0, ERROR + "s: HTTP 500", "exit code 0"),
        (1, "", "0 ERROR lines"),
        (1, f"{ERROR}s: HTTP 500\n{ERROR}s: HTTP 500", "2 ERROR lines"),
        (1, ERROR + "HTTP 500", "does not name the stream"),
        (1, ERROR + "s: something", "does not match 'HTTP 500'"),
        (1, ERROR + "s: HTTP 500 api_error", ""),
    ],
)
def test_the_line_of_an_error_is_checked(code: int, stderr: str, complaint: str) -> None:
    found = error_complaints(Run(code, "", stderr), NO_RETRY, ["s"])
    assert len(found) == bool(complaint)
    assert all(complaint in text for text in found)


def test_a_run_that_ends_badly_or_hangs_is_found() -> None:
    assert "exit code 1: why" in success_complaints(Run(1, "", ERROR + "why"))[0]
    assert "an ERROR line: why" in success_complaints(Run(0, "", ERROR + "why"))
    assert "not finished" in output_complaints(Run(None, "", "", 60))[0]


@pytest.mark.slow
def test_a_tap_that_loses_rows_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """End to end: for a tap that leaves out a row, there is a complaint that names the table."""
    endpoint, kind = scripted.ENDPOINTS[4], next(kind for kind in KINDS if kind.name == "503")
    scripted.undisturbed(endpoint, ())
    read = world.read

    def lossy(*args: Any, **options: Any) -> Run:
        run = copy.copy(read(*args, **options))
        lines = run.stdout.splitlines(keepends=True)
        lines.remove(next(line for line in lines if '"stream":"users","record"' in line))
        run.stdout = "".join(lines)
        return run

    monkeypatch.setattr(world, "read", lossy)
    result = scripted.disturbed(kind, endpoint)
    assert result.survived == 0
    assert result.complaints == [
        "503, users: users: of 45 rows 1 are missing, 0 too many, 0 different"
    ]


def test_the_command_fails_on_a_complaint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = Result("503", runs=1, complaints=["503, users: rows are missing"])
    monkeypatch.setattr("chaos.__main__.scripted", lambda **_: [bad])
    monkeypatch.setattr("sys.argv", ["chaos", "--short"])
    assert main() == 1
    assert "COMPLAINT 503, users: rows are missing" in capsys.readouterr().out
    bad.complaints.clear()
    assert main() == 0
