"""The contestants: how each one is run, and where its rows are written."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.workloads import API_KEY, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.workloads import Workload

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".bench"
"""Directory of the virtual environments of the peers."""


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A tool that reads a stream: its command for a workload, a URL and a directory."""

    name: str
    command: Callable[[Workload, str, Path], list[str]]
    slow: bool = False
    """Whether it reads only a part of the largest workloads."""
    python: Path = Path(sys.executable)
    landed: str = "stdout"
    """Files with the rows, below the directory."""

    @property
    def is_installed(self) -> bool:
        """Whether its environment exists."""
        return self.python.exists()

    def output(self, directory: Path) -> list[Path]:
        """Return the files with the rows."""
        return sorted(directory.glob(self.landed))


def config_of(workload: Workload, url: str, *, limit: bool = True) -> dict[str, Any]:
    """Return the configuration of the floor and the peers."""
    return {
        "stream": workload.stream,
        "base_url": url,
        "bucket_width": workload.width,
        "start_date": text(workload.start),
        "end_date": text(workload.end),
        "limit": workload.limit if limit else None,
    }


def singer_config(workload: Workload, url: str) -> dict[str, Any]:
    """Return the settings of both taps."""
    return {
        "admin_api_key": API_KEY,
        "base_url": url,
        "bucket_width": workload.width,
        "start_date": text(workload.start),
        "end_date": text(workload.end),
    }


def _written(directory: Path, name: str, content: dict[str, Any]) -> str:
    path = directory / name
    path.write_text(json.dumps(content))
    return str(path)


def _floor(workload: Workload, url: str, directory: Path) -> list[str]:
    return ["-m", "bench.floor", _written(directory, "config.json", config_of(workload, url))]


def _tap(module: str, **more: Any) -> Callable[[Workload, str, Path], list[str]]:
    catalogs: dict[str, dict[str, Any]] = {}

    def command(workload: Workload, url: str, directory: Path) -> list[str]:
        config = _written(directory, "config.json", {**singer_config(workload, url), **more})
        if workload.stream not in catalogs:
            catalogs[workload.stream] = _catalog(module, config, workload.stream)
        catalog = _written(directory, "catalog.json", catalogs[workload.stream])
        return ["-m", module, "--config", config, "--catalog", catalog]

    return command


def _catalog(module: str, config: str, stream: str) -> dict[str, Any]:
    """Return the catalogue of a tap with one stream selected."""
    done = subprocess.run(
        [sys.executable, "-m", module, "--config", config, "--discover"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    catalog: dict[str, Any] = json.loads(done.stdout)
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if not item["breadcrumb"]:
                item["metadata"]["selected"] = entry["stream"] == stream
    return catalog


def _peer(module: str, *, limit: bool = True) -> Callable[[Workload, str, Path], list[str]]:
    def command(workload: Workload, url: str, directory: Path) -> list[str]:
        config = config_of(workload, url, limit=limit)
        return ["-m", module, _written(directory, "config.json", config), str(directory)]

    return command


FLOOR = Contestant("floor", _floor)
TAP = Contestant("tap-claude", _tap("tap_claude", requests_per_minute=0))
PLAIN = Contestant("plain SDK tap", _tap("bench.plain_tap"), slow=True)
DLT_PYTHON, AIRBYTE_PYTHON = (PEERS / name / "bin" / "python" for name in ("dlt", "airbyte"))
DLT_FILES = "loaded/claude/*/*.jsonl"
DLT = Contestant("dlt", _peer("bench.dlt_source"), slow=True, python=DLT_PYTHON, landed=DLT_FILES)
AIRBYTE = Contestant("airbyte-cdk", _peer("bench.airbyte_source"), slow=True, python=AIRBYTE_PYTHON)
ALL = (FLOOR, TAP, PLAIN, DLT, AIRBYTE)

DEFAULT_PAGES = (
    PLAIN,
    dataclasses.replace(DLT, command=_peer("bench.dlt_source", limit=False)),
    dataclasses.replace(AIRBYTE, command=_peer("bench.airbyte_source", limit=False)),
)
"""The peers, with the API's default page size."""
