"""Records go straight to the writer where nothing would change them, and come out the same."""

from __future__ import annotations

import json
from typing import Any

from tap_claude.writer import BLOCK_BYTES, BufferedWriter


def test_blocks_are_written_whole_and_before_anything_else(capsysbinary: Any) -> None:
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
