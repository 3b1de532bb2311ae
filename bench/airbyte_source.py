"""``python -m bench.airbyte_source CONFIG DIRECTORY``: read one stream of the declarative source.

It runs in the environment of `bench/requirements-airbyte.txt` and prints Airbyte's messages. See
README.md for the settings of ``airbyte_manifest.yaml``.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path

import yaml
from airbyte_cdk.entrypoint import launch
from airbyte_cdk.sources.declarative.concurrent_declarative_source import (
    ConcurrentDeclarativeSource,
)

from bench.workloads import API_KEY, WIDTHS, text

MANIFEST = Path(__file__).with_name("airbyte_manifest.yaml")


def main() -> None:
    """Write the input files of ``read`` to the directory, and run it."""
    bench, directory = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    width = WIDTHS[bench["bucket_width"]]  # the end of the cursor is the last bucket
    manifest = yaml.safe_load(MANIFEST.read_text())
    config = {
        "api_key": API_KEY,
        "base_url": bench["base_url"],
        "start_date": bench["start_date"],
        "end_date": text(dt.datetime.fromisoformat(bench["end_date"]) - width),
    }
    if bench["limit"]:
        config["page_size"] = bench["limit"]
    else:  # the API's default: no page size is requested
        paginator = manifest["definitions"]["paginator"]
        del paginator["page_size_option"], paginator["pagination_strategy"]["page_size"]
    directory.mkdir(exist_ok=True)
    paths = {"config": directory / "config.json", "catalog": directory / "catalog.json"}
    paths["config"].write_text(json.dumps(config))
    stream = {
        "name": f"{bench['stream']}_{bench['bucket_width']}",
        "json_schema": {},
        "supported_sync_modes": ["full_refresh", "incremental"],
    }
    configured = {
        "stream": stream,
        "sync_mode": "incremental",
        "destination_sync_mode": "append",
    }
    paths["catalog"].write_text(json.dumps({"streams": [configured]}))
    arguments = ["read", *(f"--{name}={path}" for name, path in paths.items())]
    source = ConcurrentDeclarativeSource(
        config=config,
        catalog=ConcurrentDeclarativeSource.read_catalog(str(paths["catalog"])),
        state=[],
        source_config=manifest,
    )
    launch(source, arguments)


if __name__ == "__main__":
    main()
