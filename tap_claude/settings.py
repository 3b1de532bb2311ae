"""The tap's settings: what they are, and what is wrong with a configuration before any call."""

from __future__ import annotations

import datetime as dt
import difflib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from singer_sdk import typing as th

from tap_claude.client import (
    CREDENTIALS,
    DEFAULT_ANTHROPIC_VERSION,
    DEFAULT_BASE_URL,
    credential_for,
)
from tap_claude.session import is_loopback
from tap_claude.windows import WIDTHS, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

CONFIG_SCHEMA = th.PropertiesList(
    th.Property(
        "admin_api_key",
        th.StringType,
        secret=True,
        title="Admin API key",
        description="Admin API key (sk-ant-admin01-...) of a Console organization.",
    ),
    th.Property(
        "analytics_api_key",
        th.StringType,
        secret=True,
        title="Analytics API key",
        description="Scoped API key of a Claude Enterprise organization, made in claude.ai.",
    ),
    th.Property(
        "access_token",
        th.StringType,
        secret=True,
        title="Access token",
        description=(
            "OAuth access token with the scope org:admin. It is used where only it will do, and for"
            " everything else when there is no Admin API key."
        ),
    ),
    th.Property(
        "organization_label",
        th.StringType,
        title="Organization label",
        description="The name that a human gives the organization; on every row.",
    ),
    th.Property(
        "start_date",
        th.DateTimeType,
        title="Start date",
        description=(
            "First day (or time, UTC) to read when there is no bookmark. Default: 30 days ago."
        ),
        examples=["2026-01-01", "2026-01-01T00:00:00Z"],
    ),
    th.Property(
        "end_date",
        th.DateTimeType,
        title="End date",
        description="Time to stop before, UTC. Default: now, the running bucket included.",
    ),
    th.Property(
        "bucket_width",
        th.StringType,
        default="1d",
        allowed_values=["1m", "1h", "1d"],
        title="Bucket width",
        description=(
            "Length of the buckets of messages_usage, analytics_usage and analytics_cost."
            " cost_report has days only."
        ),
    ),
    th.Property(
        "lookback_days",
        th.IntegerType(minimum=0, maximum=3650),
        title="Lookback days",
        description=(
            "Days before the bookmark that each run reads again, because the API restates them."
            " Default: per stream, 30 for analytics_usage, analytics_cost and the legacy Enterprise"
            " reports, 7 for messages_usage and cost_report, 3 for Claude Code and the daily"
            " Enterprise streams. 0 is legal."
        ),
    ),
    th.Property(
        "models",
        th.ArrayType(th.StringType),
        title="Models",
        description=("Read only these models (messages_usage, analytics_usage, analytics_cost)."),
    ),
    th.Property(
        "workspace_ids",
        th.ArrayType(th.StringType),
        title="Workspaces",
        description=(
            "Read only these workspaces, wrkspc_... (messages_usage, analytics_usage,"
            " analytics_cost)."
        ),
    ),
    th.Property(
        "api_key_ids",
        th.ArrayType(th.StringType),
        title="API keys",
        description=(
            "Read only these API keys, apikey_... (messages_usage, analytics_usage,"
            " analytics_cost)."
        ),
    ),
    th.Property(
        "reports",
        th.ArrayType(
            th.ObjectType(
                th.Property(
                    "name", th.StringType, required=True, description="Name of the new stream."
                ),
                th.Property("report", th.StringType, required=True, description="Stream to vary."),
                th.Property(
                    "group_by",
                    th.ArrayType(th.StringType),
                    description="Dimensions; an empty list is one total per bucket.",
                ),
                th.Property(
                    "bucket_width",
                    th.StringType,
                    default="1d",
                    allowed_values=["1m", "1h", "1d"],
                    description="Length of the buckets.",
                ),
                th.Property(
                    "filters",
                    th.ObjectType(additional_properties=th.ArrayType(th.StringType)),
                    description="The API's filters, named without brackets: lists of strings.",
                ),
                additional_properties=False,
            )
        ),
        title="Custom reports",
        description=(
            "Further streams: a report with dimensions, bucket width and filters of its own. The"
            " settings above do not touch them."
        ),
    ),
    th.Property(
        "legacy_reports",
        th.BooleanType,
        default=False,
        title="Legacy reports",
        description=(
            "Offer the four legacy Enterprise reports. They repeat the numbers of analytics_usage"
            " and analytics_cost."
        ),
    ),
    th.Property(
        "pseudonymize_users",
        th.StringType,
        default="none",
        allowed_values=["none", "hash", "drop"],
        title="Pseudonymize users",
        description=(
            "What becomes of people's names and e-mail addresses in all streams: kept (none),"
            " replaced by a keyed hash, the same for the same person everywhere (hash), or null"
            " (drop). Ids stay."
        ),
    ),
    th.Property(
        "pseudonymize_key",
        th.StringType,
        secret=True,
        title="Pseudonymize key",
        description=(
            "Secret of at least 16 characters for pseudonymize_users: hash. Keep it: another key"
            " gives other hashes."
        ),
    ),
    th.Property(
        "requests_per_minute",
        th.IntegerType(minimum=0),
        default=50,
        title="Requests per minute",
        description="Rate limit of the whole tap, with a burst of 10. 0: no limit.",
    ),
    th.Property(
        "request_timeout",
        th.IntegerType(minimum=1),
        default=300,
        title="Request timeout",
        description="Seconds to wait for an answer before a request is tried again.",
    ),
    th.Property(
        "on_permission_error",
        th.StringType,
        default="fail",
        allowed_values=["fail", "skip"],
        title="On permission error",
        description=(
            "What a stream that the key may not read does to the run, once all other streams are"
            " done: fail it, or only warn (skip)."
        ),
    ),
    th.Property(
        "emit_activate_version_messages",
        th.BooleanType,
        default=True,
        title="Emit ACTIVATE_VERSION",
        description=(
            "Follow each full table that was read to its end by ACTIVATE_VERSION, so that targets"
            " can mark or delete the rows that are gone."
        ),
    ),
    th.Property(
        "base_url",
        th.StringType,
        default=DEFAULT_BASE_URL,
        title="Base URL",
        description="Where the API is. Must be https, unless it is this machine.",
    ),
    th.Property(
        "anthropic_version",
        th.StringType,
        default=DEFAULT_ANTHROPIC_VERSION,
        title="API version",
        description="Value of the anthropic-version header.",
    ),
    th.Property(
        "user_agent",
        th.StringType,
        title="User agent",
        description="Value of the User-Agent header. Default: tap-claude and its version.",
    ),
).to_dict()

BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
"""What a boolean may be in an environment variable, in capitals too."""

LEAST_KEY = 16
"""Fewest characters of ``pseudonymize_key``."""

FARTHEST_START = dt.timedelta(hours=26)
"""How far ahead ``start_date`` may be: today's date can be tomorrow's in UTC, and clocks differ."""

# The standard filters, where a report has them.
STANDARD_FILTERS = ("models", "workspace_ids", "api_key_ids")

# Widest name that PostgreSQL keeps whole; the rest is what every target takes as it is.
_STREAM_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


@dataclass(frozen=True)
class Report:
    """What one report stream asks the API for."""

    name: str
    report: str
    group_by: tuple[str, ...]
    bucket_width: str = "1d"
    filters: Mapping[str, list[str]] = field(default_factory=dict)


class Declaration(Protocol):
    """What `streams` declares of a report, as far as settings are concerned."""

    name: str
    dimensions: tuple[str, ...]
    default_group_by: tuple[str, ...]
    filters: tuple[str, ...]
    max_group_by: int
    uncounted: tuple[str, ...]
    exclusive: tuple[tuple[str, str], ...]
    page_buckets: Mapping[str, int]


def default_report(declared: Declaration, config: Mapping[str, Any]) -> Report:
    """Return the report under its own name, as the tap's top-level settings want it."""
    width = config.get("bucket_width", "1d")
    return Report(
        name=declared.name,
        report=declared.name,
        group_by=declared.default_group_by,
        bucket_width=width if width in declared.page_buckets else "1d",
        filters={
            name: config[name]
            for name in STANDARD_FILTERS
            if name in declared.filters and config.get(name)
        },
    )


def custom_reports(config: Mapping[str, Any]) -> Iterator[Report]:
    """Yield the reports of the setting ``reports``, which `problems` found nothing wrong with."""
    for entry in config.get("reports") or ():
        yield Report(
            name=entry["name"],
            report=entry["report"],
            group_by=tuple(entry.get("group_by") or ()),
            bucket_width=entry.get("bucket_width") or "1d",
            filters={
                name: values for name, values in (entry.get("filters") or {}).items() if values
            },
        )


def problems(config: Mapping[str, Any], *, now: dt.datetime) -> Iterator[str]:
    """Yield a line for everything that is wrong with the settings taken together.

    The types are right already: JSON Schema has seen to that.
    """
    if credential_for(config, CREDENTIALS) is None:
        yield (
            "no credential is set: give admin_api_key (Claude Console), analytics_api_key (Claude"
            " Enterprise) or access_token (OAuth); the README says how to get one"
        )
    yield from _time_problems(config, now)
    if config.get("pseudonymize_users") == "hash" and not config.get("pseudonymize_key"):
        yield (
            "pseudonymize_key: is required by pseudonymize_users: hash; give a long random secret"
            " and keep it, another one gives other hashes"
        )
    if 0 < len(config.get("pseudonymize_key") or "") < LEAST_KEY:
        yield f"pseudonymize_key: is too short to be a secret; give at least {LEAST_KEY} characters"
    yield from _url_problems(config.get("base_url", DEFAULT_BASE_URL))
    for name in ("anthropic_version", "user_agent", *CREDENTIALS):
        if re.search(r"[^\x20-\x7e]", config.get(name) or ""):
            yield f"{name}: has characters that an HTTP header cannot carry (a line break?)"


def _time_problems(config: Mapping[str, Any], now: dt.datetime) -> Iterator[str]:
    times: dict[str, dt.datetime] = {}
    for name in ("start_date", "end_date"):
        if config.get(name):
            try:
                times[name] = parse_time(config[name])
            except ValueError:
                yield (
                    f"{name}: {config[name]!a:.60} is not a date or time; write it like 2026-01-01"
                    " or 2026-01-01T00:00:00Z"
                )
    start, end = times.get("start_date"), times.get("end_date")
    if start and end and end <= start:
        yield "end_date: must be after start_date, it is exclusive"
    elif start and start >= now + FARTHEST_START:
        yield "start_date: is in the future; there is nothing to read yet"


def _url_problems(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        yield "base_url: is not a URL"
        return
    if parts.username or parts.password or parts.query or parts.fragment:
        yield "base_url: must not hold a user name, a password, a query or a fragment"
    elif not host or parts.scheme not in {"https", "http"}:
        yield f"base_url: must be an https URL like {DEFAULT_BASE_URL}"
    elif parts.scheme == "http" and not is_loopback(host):
        yield "base_url: must be https, so that the key is not sent in clear; http is for localhost"


def report_problems(
    config: Mapping[str, Any], declared: Mapping[str, Declaration], taken: Iterable[str]
) -> Iterator[str]:
    """Yield a line for everything that is wrong with the setting ``reports``."""
    names = {name.lower() for name in taken}
    for index, entry in enumerate(config.get("reports") or ()):
        where = f"reports[{index}]"
        name, report = entry["name"], entry["report"]
        if not _STREAM_NAME.fullmatch(name):
            yield (
                f"{where}.name: {name!a:.80} cannot be a table's name; use up to 63 letters, digits"
                " and _, not a digit first"
            )
        if name.lower() in names:
            yield f"{where}.name: '{name}' is taken by another stream; choose another name"
        names.add(name.lower())
        if report not in declared:
            yield f"{where}.report: {report!a:.80} is not one of {', '.join(declared)}"
            continue
        yield from _report_problems(where, entry, declared[report])


def _report_problems(where: str, entry: Mapping[str, Any], declared: Declaration) -> Iterator[str]:
    group_by = entry.get("group_by") or []
    for name in group_by:
        if name not in declared.dimensions:
            yield (
                f"{where}.group_by: {declared.name} has no dimension {name!a:.80}; "
                f"{_suggest(name, declared.dimensions)}"
            )
    if len(set(group_by)) < len(group_by):
        yield f"{where}.group_by: names a dimension twice"
    counted = [name for name in group_by if name not in declared.uncounted]
    if len(counted) > declared.max_group_by:
        besides = f" beside {' and '.join(declared.uncounted)}" if declared.uncounted else ""
        yield (
            f"{where}.group_by: {len(counted)} dimensions, but the API takes at most "
            f"{declared.max_group_by}{besides}"
        )
    used = {*group_by, *(entry.get("filters") or {})}
    for one, other in declared.exclusive:
        if {one, other} <= used:
            yield f"{where}: the API does not take {one} together with {other}"
    for name in entry.get("filters") or {}:
        if name not in declared.filters:
            yield (
                f"{where}.filters: {declared.name} has no filter {name!a:.80}; "
                f"{_suggest(name, declared.filters)}"
            )
    width = entry.get("bucket_width") or "1d"
    if width in WIDTHS and width not in declared.page_buckets:
        yield (
            f"{where}.bucket_width: {declared.name} has no buckets of {width}, only "
            f"{', '.join(declared.page_buckets)}"
        )


def from_environment(texts: Mapping[str, str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the texts of environment variables into values; what is empty is not set.

    A text that cannot be what the schema demands stays as it is, so that validation names it.
    """
    properties = schema["properties"]
    return {name: _value_of(text, properties[name]) for name, text in texts.items() if text}


def _value_of(text: str, schema: Mapping[str, Any]) -> Any:
    types = schema.get("type", ())
    if "boolean" in types:
        return BOOLEANS.get(text.strip().lower(), text)
    if not {"integer", "number", "array", "object"}.intersection(types):
        return text
    try:
        return json.loads(text)
    except ValueError:
        is_list = "string" in schema.get("items", {}).get("type", ()) and text[0] not in '[{"'
        return [part.strip() for part in text.split(",")] if is_list else text


def unknown_settings(config: Mapping[str, Any], known: Iterable[str]) -> Iterator[str]:
    """Yield a line for every setting that nothing reads; it may be a slip of the pen."""
    known = list(known)
    for name in config:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            yield f"{name!a:.80} is no setting of this tap and is ignored" + (
                f"; did you mean {close[0]}?" if close else ""
            )


def report_warnings(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for every custom report that is legal, but not what it may seem to be."""
    for report in custom_reports(config):
        if "token_type" in report.group_by and "cost_type" not in report.group_by:
            yield (
                f"report {report.name}: grouped by token_type alone, the API leaves out the costs"
                " that are no tokens; add cost_type to have them"
            )
        if "rbac_group_id" in report.group_by:
            yield f"report {report.name}: groups overlap, so their sum can exceed the total"


def privacy_warnings(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line where people could still be guessed."""
    if config.get("pseudonymize_users") == "drop" and not config.get("pseudonymize_key"):
        yield (
            "pseudonymize_users: drop without pseudonymize_key: the row_id of Claude Code rows is"
            " made of the e-mail address too, and who guesses an address can check it; set a key"
        )


def key_warnings(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for every key whose prefix says that it belongs in another setting.

    Personal and service-account keys are Admin API credentials too, so they are not named here.
    """
    if str(config.get("analytics_api_key", "")).startswith("sk-ant-admin"):
        yield "analytics_api_key looks like an Admin API key, which belongs in admin_api_key"
    if str(config.get("admin_api_key", "")).startswith("sk-ant-oat"):
        yield "admin_api_key looks like an OAuth token, which belongs in access_token"


def _suggest(name: str, allowed: Iterable[str]) -> str:
    allowed = sorted(allowed)
    if not allowed:
        return "it has none"
    close = difflib.get_close_matches(name, allowed, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{hint}allowed: {', '.join(allowed)}"
