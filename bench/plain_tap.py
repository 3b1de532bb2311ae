"""``python -m bench.plain_tap``: the same two streams, in the style of the SDK's cookiecutter.

A good first version of a tap: a `RESTStream` per stream, a JSONPath paginator, `post_process` for
flattening, a schema in code, and the defaults of the SDK and the API for everything else.
"""

from __future__ import annotations

import datetime as dt
import decimal
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.authenticators import APIKeyAuthenticator
from singer_sdk.helpers.jsonpath import extract_jsonpath
from singer_sdk.pagination import JSONPathPaginator
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable

    import requests
    from singer_sdk.helpers.types import Context

STRINGS = ("model", "workspace_id", "api_key_id", "service_tier", "context_window", "inference_geo")


class PlainStream(RESTStream[str | None]):
    """Base of both streams."""

    records_jsonpath = "$.data[*]"
    next_page_token_jsonpath = "$.next_page"  # noqa: S105

    @property
    @override
    def url_base(self) -> str:
        base: str = self.config["base_url"]
        return f"{base}/v1/organizations"

    @property
    @override
    def authenticator(self) -> APIKeyAuthenticator:
        return APIKeyAuthenticator(
            key="x-api-key", value=self.config["admin_api_key"], location="header"
        )

    @property
    @override
    def http_headers(self) -> dict[str, str]:
        return {
            "anthropic-version": "2023-06-01",
            "anthropic-beta": "analytics-usage-cost-2026-08-24",
        }

    @override
    def get_new_paginator(self) -> JSONPathPaginator:
        return JSONPathPaginator(self.next_page_token_jsonpath)

    @override
    def parse_response(self, response: requests.Response) -> Iterable[dict[str, Any]]:
        page = response.json(parse_float=decimal.Decimal)
        yield from extract_jsonpath(self.records_jsonpath, input=page)

    def start(self, context: Context | None) -> dt.datetime:
        """Return the start of this run."""
        start = self.get_starting_timestamp(context)
        assert start is not None  # noqa: S101
        return start

    def end(self) -> dt.datetime:
        """Return the end of this run."""
        return dt.datetime.fromisoformat(self.config["end_date"])


class MessagesUsage(PlainStream):
    """Token usage."""

    name = "messages_usage"
    path = "/usage_report/messages"
    primary_keys = ("starting_at", *STRINGS[:5])
    replication_key = "starting_at"
    schema = th.PropertiesList(
        th.Property("starting_at", th.DateTimeType, required=True),
        th.Property("ending_at", th.DateTimeType),
        *(th.Property(name, th.StringType) for name in STRINGS),
        th.Property("account_id", th.StringType),
        th.Property("service_account_id", th.StringType),
        th.Property("uncached_input_tokens", th.IntegerType),
        th.Property("cache_read_input_tokens", th.IntegerType),
        th.Property("cache_creation_ephemeral_5m_input_tokens", th.IntegerType),
        th.Property("cache_creation_ephemeral_1h_input_tokens", th.IntegerType),
        th.Property("output_tokens", th.IntegerType),
        th.Property("web_search_requests", th.IntegerType),
    ).to_dict()

    @override
    def get_url_params(
        self, context: Context | None, next_page_token: str | None
    ) -> dict[str, Any]:
        params: dict[str, Any] = {
            "starting_at": self.start(context).isoformat(),
            "ending_at": self.end().isoformat(),
            "bucket_width": self.config["bucket_width"],
            "group_by[]": STRINGS[:5],
        }
        if next_page_token:
            params["page"] = next_page_token
        return params

    @override
    def parse_response(self, response: requests.Response) -> Iterable[dict[str, Any]]:
        for bucket in super().parse_response(response):
            for row in bucket["results"]:
                bounds = {name: bucket[name] for name in ("starting_at", "ending_at")}
                yield {**bounds, **row}

    @override
    def post_process(self, row: dict[str, Any], context: Context | None = None) -> dict[str, Any]:
        for name, value in row.pop("cache_creation").items():
            row[f"cache_creation_{name}"] = value
        row["web_search_requests"] = row.pop("server_tool_use")["web_search_requests"]
        return row


class AnalyticsCost(PlainStream):
    """Cost."""

    name = "analytics_cost"
    path = "/analytics/cost"
    group_by: ClassVar[list[str]] = ["actor", "product", "model", "workspace_id", "api_key_id"]
    fan_out: ClassVar[list[str]] = ["cost_type", "token_type"]
    primary_keys = ("starting_at", "actor_id", *group_by[1:], *fan_out)
    replication_key = "starting_at"
    schema = th.PropertiesList(
        th.Property("starting_at", th.DateTimeType, required=True),
        th.Property("ending_at", th.DateTimeType),
        *(th.Property(f"actor_{name}", th.StringType) for name in ("id", "type", "name")),
        th.Property("actor_email_address", th.StringType),
        th.Property("actor_deleted", th.BooleanType),
        *(th.Property(name, th.StringType) for name in (*group_by[1:], *fan_out)),
        *(th.Property(name, th.StringType) for name in ("amount", "list_amount", "currency")),
        th.Property("amount_usd", th.DecimalType),
        th.Property("list_amount_usd", th.DecimalType),
        th.Property("requests", th.IntegerType),
    ).to_dict()

    @override
    def request_records(self, context: Context | None) -> Iterable[dict[str, Any]]:
        # The API does not accept a range of more than 31 days.
        start = self.start(context)
        while start < self.end():
            stop = min(self.end(), start + dt.timedelta(days=31))
            window = {"starting_at": start.isoformat(), "ending_at": stop.isoformat()}
            yield from super().request_records({**(context or {}), **window})
            start = stop

    @override
    def get_url_params(
        self, context: Context | None, next_page_token: str | None
    ) -> dict[str, Any]:
        params: dict[str, Any] = {
            **(context or {}),
            "time_bucket_width": self.config["bucket_width"],
            "order_by": "time",
            "order": "asc",
            "group_by[]": [*self.group_by, *self.fan_out],
        }
        if next_page_token:
            params["page"] = next_page_token
        return params

    @override
    def post_process(self, row: dict[str, Any], context: Context | None = None) -> dict[str, Any]:
        group, cost = row.pop("group"), row.pop("cost")
        actor = group.pop("actor") or {}
        ids = ("user_id", "service_account_id", "api_key_id")
        row["actor_id"] = next((actor[name] for name in ids if name in actor), None)
        for name in ("type", "name", "email_address", "deleted"):
            row[f"actor_{name}"] = actor.get(name)
        for name in (*self.group_by[1:], *self.fan_out):
            row[name] = group[name]
        row.update(cost)
        for name in ("amount", "list_amount"):
            row[f"{name}_usd"] = decimal.Decimal(row[name]) / 100
        return row


class TapPlain(Tap):
    """The tap with both streams."""

    name = "tap-plain"
    config_jsonschema = th.PropertiesList(
        th.Property("admin_api_key", th.StringType, required=True, secret=True),
        th.Property("base_url", th.StringType, required=True),
        th.Property("start_date", th.DateTimeType, required=True),
        th.Property("end_date", th.DateTimeType, required=True),
        th.Property("bucket_width", th.StringType, default="1d"),
    ).to_dict()

    @override
    def discover_streams(self) -> list[PlainStream]:
        return [MessagesUsage(self), AnalyticsCost(self)]


if __name__ == "__main__":
    TapPlain.cli()
