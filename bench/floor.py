"""``python -m bench.floor CONFIG``: a lower bound for the cost of the same records, without an SDK.

A simple loop: ``requests``, msgspec, the same columns and keys, a buffered write. It has no checks,
no retries, no state and does not merge rows.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import requests

from bench.workloads import API_KEY, BETA, DIMENSIONS, LONGEST, WIDTHS, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Row = dict[str, Any]


class Page(msgspec.Struct):
    """A page; its items are decoded one by one, so that only one bucket is in memory."""

    data: list[msgspec.Raw]
    has_more: bool
    next_page: str | None
    data_refreshed_at: str = ""
    organization_id: str = ""
    """From a header."""


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode
decode_page = msgspec.json.Decoder(Page).decode
COST_NULLS = dict.fromkeys(
    (
        "service_tier",
        "context_window",
        "inference_geo",
        "speed",
        "rbac_group_id",
        "agent_id",
        "deployment_id",
        "environment_id",
        "session_id",
        "user_profile_id",
        "claude_tag_category",
        "claude_tag_user_id",
        "slack_channel_id",
    )
)


def main() -> None:
    """Write the records of one stream."""
    config = json.loads(Path(sys.argv[1]).read_text())
    write = sys.stdout.buffer.write
    for record in RECORDS[config["stream"]](config):
        message = {"type": "RECORD", "stream": config["stream"], "record": record}
        write(encode(message))
        write(b"\n")


def messages_usage(config: Row) -> Iterator[Row]:
    """Yield the records of ``usage_report/messages``."""
    now = text(dt.datetime.now(dt.UTC))
    width = config["bucket_width"]
    url = f"{config['base_url']}/v1/organizations/usage_report/messages"
    bounds = {"starting_at": config["start_date"], "ending_at": config["end_date"]}
    for page in pages(url, config, {"bucket_width": width, **bounds}):
        for bucket in map(decode, page.data):
            start, end = bucket["starting_at"], bucket["ending_at"]
            for row in bucket["results"]:
                creation = row["cache_creation"]
                identity = {
                    "model": row["model"],
                    "workspace_id": row["workspace_id"],
                    "api_key_id": row["api_key_id"],
                    "service_tier": row["service_tier"],
                    "context_window": row["context_window"],
                }
                yield {
                    "row_id": row_id(
                        "messages_usage", page.organization_id, start, width, identity
                    ),
                    "organization_type": "console",
                    "organization_id": page.organization_id,
                    "organization_label": None,
                    "starting_at": start,
                    "ending_at": end,
                    "bucket_width": width,
                    **identity,
                    "inference_geo": row["inference_geo"],
                    "speed": row.get("speed"),
                    "account_id": row["account_id"],
                    "service_account_id": row["service_account_id"],
                    "uncached_input_tokens": row["uncached_input_tokens"],
                    "cache_read_input_tokens": row["cache_read_input_tokens"],
                    "cache_creation_ephemeral_5m_input_tokens": creation[
                        "ephemeral_5m_input_tokens"
                    ],
                    "cache_creation_ephemeral_1h_input_tokens": creation[
                        "ephemeral_1h_input_tokens"
                    ],
                    "output_tokens": row["output_tokens"],
                    "web_search_requests": row["server_tool_use"]["web_search_requests"],
                    "is_complete": end <= now,
                    "extracted_at": now,
                }


def analytics_cost(config: Row) -> Iterator[Row]:
    """Yield the records of ``analytics/cost``."""
    now = text(dt.datetime.now(dt.UTC))
    width = config["bucket_width"]
    url = f"{config['base_url']}/v1/organizations/analytics/cost"
    start, end = map(dt.datetime.fromisoformat, (config["start_date"], config["end_date"]))
    while start < end:
        stop = min(end, start + LONGEST // WIDTHS[width] * WIDTHS[width])
        bounds = {"starting_at": text(start), "ending_at": text(stop)}
        order = {"order_by": "time", "order": "asc"}
        for page in pages(url, config, {"time_bucket_width": width, **order, **bounds}):
            for row in map(decode, page.data):
                yield cost_record(row, width, page, now)
        start = stop


def cost_record(row: Row, width: str, page: Page, now: str) -> Row:
    """Return the record of a row."""
    refreshed, organization_id = page.data_refreshed_at, page.organization_id
    group, cost = row["group"], row["cost"]
    actor: Row = group["actor"] or {}
    provider: Row = actor.get("provider") or {}
    identity = {
        "actor_type": actor.get("type"),
        "actor_user_id": actor.get("user_id"),
        "actor_service_account_id": actor.get("service_account_id"),
        "actor_api_key_id": actor.get("api_key_id"),
        "actor_subject": actor.get("subject"),
        "actor_provider_type": provider.get("type"),
        "actor_provider_account_id": provider.get("account_id"),
        "actor_provider_signed_principal": provider.get("signed_principal"),
        "actor_provider_subscription_id": provider.get("subscription_id"),
        "actor_provider_project_number": provider.get("project_number"),
        "actor_provider_issuer": provider.get("issuer"),
        "product": group["product"],
        "model": group["model"],
        "workspace_id": group["workspace_id"],
        "api_key_id": group["api_key_id"],
        "cost_type": group["cost_type"],
        "token_type": group["token_type"],
        "currency": cost["currency"],
    }
    return {
        "row_id": row_id("analytics_cost", organization_id, row["starting_at"], width, identity),
        "organization_type": "console",
        "organization_id": organization_id,
        "organization_label": None,
        "starting_at": row["starting_at"],
        "ending_at": row["ending_at"],
        "bucket_width": width,
        **identity,
        **COST_NULLS,
        "actor_email_address": actor.get("email_address"),
        "actor_name": actor.get("name"),
        "actor_deleted": actor.get("deleted"),
        "amount": cost["amount"],
        "amount_usd": dollars(cost["amount"]),
        "list_amount": cost["list_amount"],
        "list_amount_usd": dollars(cost["list_amount"]),
        "requests": cost["requests"],
        "data_refreshed_at": refreshed,
        "is_complete": row["ending_at"] <= refreshed,
        "extracted_at": now,
    }


def pages(url: str, config: Row, params: Row) -> Iterator[Page]:
    """Yield the pages of a request."""
    session = requests.Session()
    session.trust_env = False
    headers = {"x-api-key": API_KEY, "anthropic-version": "2023-06-01", "anthropic-beta": BETA}
    params |= {"limit": config["limit"], "group_by[]": DIMENSIONS[config["stream"]]}
    while True:
        response = session.get(url, params=params, headers=headers, timeout=60)
        response.raise_for_status()
        page = decode_page(response.content)
        page.organization_id = response.headers["anthropic-organization-id"]
        del response
        yield page
        if not page.has_more:
            return
        params["page"] = page.next_page


def row_id(stream: str, organization_id: str, start: str, width: str, identity: Row) -> str:
    """Return the key of a record."""
    key = encode([stream, "console", organization_id, start, width, sorted(identity.items())])
    return hashlib.sha256(key).hexdigest()[:32]


def dollars(cents: str) -> str:
    """Convert cents to exact dollars."""
    return format(Decimal(cents).scaleb(-2), "f")


RECORDS: dict[str, Callable[[Row], Iterator[Row]]] = {
    "messages_usage": messages_usage,
    "analytics_cost": analytics_cost,
}

if __name__ == "__main__":
    main()
