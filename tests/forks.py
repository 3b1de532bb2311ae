"""Processes of a program that need not import it again: half a second for the tap, two for dbt.

``python -m tests.forks PROGRAM MODULES`` imports the modules and waits. For each line on standard
input, a job, it forks: the child runs the program as any process would, and its exit code is
printed.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass
class Done:
    """The result of a process."""

    returncode: int
    stdout: str
    stderr: str


# Variables that an interpreter reads when it starts: a process with other values is not forked.
OF_THE_INTERPRETER = ("PYTHON", "LC_", "LANG", "TZ")


class Forks:
    """Forks processes of a program, one at a time."""

    def __init__(
        self, python: str, program: str, modules: Sequence[str], env: Mapping[str, str]
    ) -> None:
        """Start the process that imports the modules, without settings of the program.

        The program is a file, or a module that ``python -m`` runs.
        """
        # Removed when this process ends.
        self._folder = tempfile.TemporaryDirectory(prefix="forks-")
        self._command = [python, program] if os.sep in program else [python, "-m", program]
        self._parent = subprocess.Popen(
            [python, "-m", "tests.forks", program, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the process."""
        self._parent.communicate()
        self._folder.cleanup()

    def run(
        self, arguments: Sequence[str], env: Mapping[str, str], cwd: Path | None = None
    ) -> Done:
        """Run the program, in the current folder if no other is given."""
        if any(
            text != os.environ.get(name)
            for name, text in env.items()
            if name.startswith(OF_THE_INTERPRETER)
        ):
            command = [*self._command, *arguments]
            done = subprocess.run(command, capture_output=True, check=False, env=env, cwd=cwd)
            return Done(done.returncode, done.stdout.decode(), done.stderr.decode())
        out, err = (Path(self._folder.name) / name for name in ("stdout", "stderr"))
        job = {
            "arguments": list(arguments),
            "env": dict(env),
            "folder": str(cwd or Path.cwd()),
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
    program, *modules = sys.argv[1:]
    for module in modules:
        importlib.import_module(module)
    _serve()
    if os.sep in program:
        sys.path[0] = str(Path(program).parent)
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
