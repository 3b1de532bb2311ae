"""Every stream, declared: path, schema, keys, what differs and nothing else.

To add a report: one class here, and a schema file of its name in ``schemas/``.
"""

from __future__ import annotations

from singer_sdk import SchemaDirectory, StreamSchema

from tap_claude import schemas
from tap_claude.reports import BucketReport, GroupedReport

SCHEMAS = SchemaDirectory(schemas)

FAST_MODE = "fast-mode-2026-02-01"


class MessagesUsage(BucketReport):
    """Tokens and server tools of the Messages API (api_reference 3)."""

    name = "messages_usage"
    path = "usage_report/messages"
    schema = StreamSchema(SCHEMAS, key=name)
    dimensions = (
        "account_id",
        "api_key_id",
        "context_window",
        "inference_geo",
        "model",
        "service_account_id",
        "service_tier",
        "speed",
        "workspace_id",
    )
    default_group_by = ("model", "workspace_id", "api_key_id", "service_tier", "context_window")
    filters = (
        "account_ids",
        "api_key_ids",
        "context_window",
        "inference_geos",
        "models",
        "service_account_ids",
        "service_tiers",
        "speeds",
        "workspace_ids",
    )
    page_buckets = {"1d": 31, "1h": 168, "1m": 1440}
    lookback_days = 7
    gated = {"speed": FAST_MODE, "speeds": FAST_MODE}


class CostReport(BucketReport):
    """Billed cost by workspace and line of the bill (api_reference 4)."""

    name = "cost_report"
    path = "cost_report"
    schema = StreamSchema(SCHEMAS, key=name)
    dimensions = ("description", "workspace_id")
    default_group_by = ("workspace_id", "description")
    page_buckets = {"1d": 31}
    lookback_days = 7
    # The API parses these from the description, which alone is not unique.
    key_columns = {
        "description": (
            "description",
            "cost_type",
            "context_window",
            "inference_geo",
            "model",
            "service_tier",
            "speed",
            "token_type",
        )
    }


REPORTS: dict[str, type[GroupedReport]] = {
    stream.name: stream for stream in (MessagesUsage, CostReport)
}
