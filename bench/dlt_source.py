"""``python -m bench.dlt_source CONFIG DIRECTORY``: the two streams as dlt's REST API source.

It runs in the environment of `bench/requirements-dlt.txt`. See README.md for its settings.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.workloads import API_KEY, BETA, DIMENSIONS, LONGEST, WIDTHS, text

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = dict[str, Any]


def main() -> None:
    """Load one stream into JSONL files in a directory."""
    config, directory = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    os.environ["DLT_DATA_DIR"] = str(directory / "dlt")
    # The documented way to set settings; the files are uncompressed, like those of all others.
    os.environ["DATA_WRITER__DISABLE_COMPRESSION"] = "true"
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    import dlt  # noqa: PLC0415  # it reads the settings on import
    from dlt.destinations import filesystem  # noqa: PLC0415
    from dlt.sources.rest_api import rest_api_source  # noqa: PLC0415

    windows = dlt.resource([list(months(config))], name="windows", selected=False)
    streams = {"messages_usage": usage(config), "analytics_cost": cost(config)}
    stream = streams[config["stream"]]
    source = rest_api_source(
        {
            "client": {
                "base_url": f"{config['base_url']}/v1/organizations/",
                "headers": {"anthropic-version": "2023-06-01", "anthropic-beta": BETA},
                "auth": {
                    "type": "api_key",
                    "name": "x-api-key",
                    "api_key": API_KEY,
                    "location": "header",
                },
                "paginator": {
                    "type": "cursor",
                    "cursor_path": "next_page",
                    "cursor_param": "page",
                },
            },
            "resource_defaults": {"write_disposition": "append"},
            "resources": [stream, *([windows] if config["stream"] == "analytics_cost" else [])],
        }
    )
    pipeline = dlt.pipeline(
        pipeline_name="bench",
        pipelines_dir=str(directory / "pipelines"),
        destination=filesystem(bucket_url=(directory / "loaded").as_uri()),
        dataset_name="claude",
    )
    pipeline.run(source, loader_file_format="jsonl").raise_on_failed_jobs()


def usage(config: Row) -> Row:
    """Return the resource of ``usage_report/messages``; rows are a nested table of buckets."""
    return {
        "name": "messages_usage",
        "endpoint": {
            "path": "usage_report/messages",
            "data_selector": "data",
            "params": {
                "starting_at": config["start_date"],
                "ending_at": config["end_date"],
                "bucket_width": config["bucket_width"],
                "group_by[]": list(DIMENSIONS["messages_usage"]),
                **page_size(config),
            },
        },
    }


def cost(config: Row) -> Row:
    """Return the resource of ``analytics/cost``: one paginated request per window."""
    return {
        "name": "analytics_cost",
        "endpoint": {
            "path": "analytics/cost",
            "data_selector": "data",
            "params": {
                "starting_at": "{resources.windows.starting_at}",
                "ending_at": "{resources.windows.ending_at}",
                "time_bucket_width": config["bucket_width"],
                "order_by": "time",
                "order": "asc",
                "group_by[]": list(DIMENSIONS["analytics_cost"]),
                **page_size(config),
            },
        },
    }


def page_size(config: Row) -> Row:
    """Return the page size, if it is set."""
    return {"limit": config["limit"]} if config["limit"] else {}


def months(config: Row) -> Iterator[Row]:
    """Yield windows that the API accepts."""
    start, end = map(dt.datetime.fromisoformat, (config["start_date"], config["end_date"]))
    longest = LONGEST // WIDTHS[config["bucket_width"]] * WIDTHS[config["bucket_width"]]
    while start < end:
        stop = min(end, start + longest)
        yield {"starting_at": text(start), "ending_at": text(stop)}
        start = stop


if __name__ == "__main__":
    main()
