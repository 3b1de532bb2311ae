"""Blocks of messages are written completely and in order; nothing follows a failed write."""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from singer_sdk.singerlib import StateMessage

from tap_claude.writer import BLOCK_BYTES, BufferedWriter


def test_blocks_are_written_completely(capsysbinary: Any) -> None:
    writer = BufferedWriter()
    writer.write_record("s", {"a": 1}, None)
    assert capsysbinary.readouterr().out == b""
    writer.flush()
    first = capsysbinary.readouterr().out
    assert json.loads(first)["record"] == {"a": 1}
    assert "version" not in json.loads(first)

    while not (out := capsysbinary.readouterr().out):
        writer.write_record("s", {"text": "x" * 1000}, 7)
    assert BLOCK_BYTES < len(out) < BLOCK_BYTES + 2000
    assert all(json.loads(line)["version"] == 7 for line in out.splitlines())


def test_no_state_follows_lost_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK writes a STATE when a run ends, also after a failed write."""

    class Interrupted(io.BytesIO):
        def write(self, block: Any, /) -> int:
            if b"RECORD" in bytes(block):
                raise KeyboardInterrupt
            return super().write(block)

    out = Interrupted()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=out))
    writer = BufferedWriter()
    writer.write_message(StateMessage({"bookmarks": {"s": 1}}))
    before = out.getvalue()
    assert before
    writer.write_record("s", {"a": 1}, None)
    with pytest.raises(KeyboardInterrupt):
        writer.flush()
    with pytest.raises(OSError, match="standard output is broken"):
        writer.write_message(StateMessage({"bookmarks": {"s": 2}}))
    assert out.getvalue() == before
