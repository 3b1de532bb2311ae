"""The expectations of the chaos runs, tested without the tap."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import requests

from chaos import scripted, world
from chaos.tap import Run, Tables
from simulator.faults import KINDS
from simulator.server import ADMIN_KEY

if TYPE_CHECKING:
    import pytest

    from simulator.server import Simulator

BY_NAME = {kind.name: kind for kind in KINDS}
ENDPOINT = next(it for it in scripted.ENDPOINTS if it.path == "usage_report/claude_code")
HEADERS = {"x-api-key": ADMIN_KEY, "anthropic-version": "2023-06-01"}


def line(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields}) + "\n"


def test_text_is_compared_without_replacement_characters() -> None:
    rows = [{"id": 1, "name": "a\ufffd"}, {"id": 2, "name": "b"}]
    tables = Tables()
    messages: list[Any] = [{"type": "SCHEMA", "stream": "users", "key_properties": ["id"]}]
    messages += [{"type": "RECORD", "stream": "users", "record": row} for row in rows]
    tables.load(messages)
    plain, count = tables.without_replacements()
    assert count == 1
    assert [row["name"] for row in plain.rows["users"].values()] == ["a", "b"]
    assert tables.rows["users"][1,]["name"] == "a\ufffd"


def test_each_kind_has_an_endpoint() -> None:
    for short in (True, False):
        pairs = list(scripted._pairs(short=short))  # noqa: SLF001
        assert {kind.name for kind, _ in pairs} == BY_NAME.keys()
        assert all(kind.fits(endpoint.path) for kind, endpoint in pairs)
        assert (len(pairs) == len(KINDS)) is short


def test_a_tap_that_accepts_a_wrong_response_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tap that writes the requested day on other rows, and one that requests it again."""
    output = line("SCHEMA", stream="claude_code_usage", key_properties=["date"])
    output += line("RECORD", stream="claude_code_usage", record={"date": "2026-01-01"})

    def read(requests_to_send: int) -> Any:
        def run(served: Simulator, *_: Any, **__: Any) -> Run:
            url = f"{served.url}/v1/organizations/{ENDPOINT.path}"
            for _number in range(requests_to_send):
                requests.get(
                    url, {"starting_at": str(world.FIRST_DAY)}, headers=HEADERS, timeout=10
                )
            return Run(0, output, "")

        return run

    kind = BY_NAME["rows of another day"]
    monkeypatch.setattr(world, "read", read(3))
    monkeypatch.setattr(scripted, "undisturbed", lambda *_: right(output))
    assert scripted.disturbed(kind, ENDPOINT).complaints == [
        "rows of another day, claude_code_usage: the wrong response was accepted"
    ]
    monkeypatch.setattr(world, "read", read(4))
    assert scripted.disturbed(kind, ENDPOINT).complaints == []


def right(output: str) -> tuple[Tables, int]:
    tables = Tables()
    tables.load(Run(0, output, "").messages)
    return tables, 3
