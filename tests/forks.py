"""Processes of the tap that do not import it again: each saves half a second.

``python -m tests.forks`` imports the tap and waits. For each line on standard input, a job, it
forks: the child is a process of the tap like any other, and its exit code is printed.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass
class Done:
    """The result of a process."""

    returncode: int
    stdout: str
    stderr: str


# Variables that an interpreter reads when it starts: a process with other values is not forked.
OF_THE_INTERPRETER = ("PYTHON", "LC_", "LANG", "TZ")


class Forks:
    """Forks processes of the tap, one at a time."""

    def __enter__(self) -> Self:
        """Start the process that imports the tap, without settings of the tap."""
        env = {name: text for name, text in os.environ.items() if not name.startswith("TAP_CLAUDE")}
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.forks"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._parent.communicate()

    def run(self, arguments: Sequence[str], env: Mapping[str, str], folder: Path) -> Done:
        """Run ``tap-claude`` with these arguments and this environment, in the current folder."""
        if any(
            text != os.environ.get(name)
            for name, text in env.items()
            if name.startswith(OF_THE_INTERPRETER)
        ):
            command = [sys.executable, "-m", "tap_claude", *arguments]
            done = subprocess.run(command, capture_output=True, check=False, env=env)
            return Done(done.returncode, done.stdout.decode(), done.stderr.decode())
        out, err = folder / "stdout", folder / "stderr"
        job = {
            "arguments": list(arguments),
            "env": dict(env),
            "folder": str(folder.cwd()),
            "out": str(out),
            "err": str(err),
        }
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(json.dumps(job) + "\n")
        self._parent.stdin.flush()
        code = int(self._parent.stdout.readline())
        return Done(code, *(path.read_text(encoding="utf-8") for path in (out, err)))


def _serve() -> None:
    """Fork a child for each job; return in the child, and exit when there are no more jobs."""
    import tap_claude.tap  # noqa: F401, PLC0415

    exit_codes = os.fdopen(os.dup(1), "w")
    jobs = os.fdopen(os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for line in jobs:
        child = os.fork()
        if not child:
            job = json.loads(line)
            for number, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(job[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            os.environ.clear()
            os.environ.update(job["env"])
            os.chdir(job["folder"])
            sys.argv[1:] = job["arguments"]
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=exit_codes, flush=True)
    sys.exit()


if __name__ == "__main__":
    _serve()
    runpy.run_module("tap_claude", run_name="__main__", alter_sys=True)
