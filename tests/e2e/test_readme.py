"""The README is short, and its example of runs without Meltano works."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import NOW, days_ago, environment, settings

if TYPE_CHECKING:
    from simulator.server import Simulator

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()

TAP = f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tap_claude "$@"\n'
# It stores its input, and prints states like a target.
TARGET = f"""#!{sys.executable}
import json, pathlib, sys
messages = [json.loads(line) for line in sys.stdin]
number = len(list(pathlib.Path().glob("run-*.json")))
pathlib.Path(f"run-{{number}}.json").write_text(json.dumps(messages))
for message in messages:
    if message["type"] == "STATE":
        print(json.dumps(message["value"]))
"""


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 200


@pytest.mark.skipif(shutil.which("jq") is None, reason="the example needs jq")
def test_the_example_without_meltano_works(simulate: Any, tmp_path: Path) -> None:
    """Run it unchanged, except that the settings point to the simulator."""
    simulator: Simulator = simulate(days=5, now=NOW)
    section = README.partition("\n### Without Meltano\n")[2].partition("\n### ")[0]
    (script,) = re.findall(r"^```sh\n(.+?)^```\n", section, re.DOTALL | re.MULTILINE)
    config = json.dumps(settings(simulator, start_date=days_ago(4, NOW)))
    script, count = re.subn(r"^echo '.+' >", lambda _: f"echo '{config}' >", script)
    assert count == 1
    for name, text in (("tap-claude", TAP), ("target-jsonl", TARGET)):
        command = tmp_path / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(text)
        command.chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment(PATH=path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"run-{number}.json").read_text()) for number in (0, 1))
    for messages in (first, second):
        assert {m["stream"] for m in messages if m["type"] == "RECORD"} == {"cost_report", "users"}
    # The second run begins with the last state of the first one.
    states = [message["value"] for message in first if message["type"] == "STATE"]
    assert next(m["value"] for m in second if m["type"] == "STATE") == states[-1]
    assert "cost_report" in states[-1]["bookmarks"]
