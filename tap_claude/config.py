"""The tap's settings: their schema, their defaults, and a typed, read-only view of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from singer_sdk import typing as th

from tap_claude.credentials import CREDENTIALS, FEDERATION, organization_types
from tap_claude.windows import parse_time

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Mapping

SECRETS = (*(name for name in CREDENTIALS if name != FEDERATION), "pseudonymize_key")
"""Settings whose values never reach a log, an error, the state or the disk."""

FEDERATION_REQUIRED = (FEDERATION, "federation_organization_id", "identity_token_file")
"""Settings of workload identity federation that need each other."""

STANDARD_FILTERS = ("models", "workspace_ids", "api_key_ids")
"""Settings that filter the standard reports, if a report has a filter of that name."""

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
        description="Scoped API key of a Claude Enterprise organization, created in claude.ai.",
    ),
    th.Property(
        "access_token",
        th.StringType,
        secret=True,
        title="Access token",
        description=(
            "OAuth access token with the scope org:admin. Required by some streams; used for all"
            " Console streams if admin_api_key is not set."
        ),
    ),
    th.Property(
        FEDERATION,
        th.StringType,
        title="Federation rule",
        description=(
            "Federation rule (fdrl_...) with the scope org:admin. The token in identity_token_file"
            " is exchanged for short-lived access tokens, which are used like access_token. No"
            " secret is stored."
        ),
    ),
    th.Property(
        "federation_organization_id",
        th.StringType,
        title="Federation organization",
        description="UUID of the Console organization that the federation rule belongs to.",
    ),
    th.Property(
        "identity_token_file",
        th.StringType,
        title="Identity token file",
        description=(
            "Path of a file with an OIDC token (JWT) of the workload, for example a projected"
            " Kubernetes service account token. Read again at each exchange."
        ),
    ),
    th.Property(
        "service_account_id",
        th.StringType,
        title="Service account",
        description="Service account (svac_...) of the federation rule, if the exchange needs it.",
    ),
    th.Property(
        "workspace_api_key",
        th.StringType,
        secret=True,
        title="Workspace API key",
        description=(
            "API key of a workspace, or a personal or service-account key of the organization with"
            " agent_workspace_ids. Reads agents, sessions, user profiles, models, batches, files"
            " and skills, which an Admin API key cannot read."
        ),
    ),
    th.Property(
        "agent_workspace_ids",
        th.ArrayType(th.StringType),
        title="Agent workspaces",
        description=(
            "Workspaces that workspace_api_key reads one by one, wrkspc_... Leave it out for a key"
            " that belongs to one workspace."
        ),
    ),
    th.Property(
        "compliance_api_key",
        th.StringType,
        secret=True,
        title="Compliance access key",
        description=(
            "Compliance access key of a Claude Enterprise organization, created in claude.ai. Reads"
            " compliance_activities and compliance_organizations."
        ),
    ),
    th.Property(
        "organization_label",
        th.StringType,
        title="Organization label",
        description="A name for the organization, written to every row.",
    ),
    th.Property(
        "start_date",
        th.DateTimeType,
        title="Start date",
        description=(
            "First day (or time, UTC) to read if there is no bookmark. Default: 30 days ago."
        ),
        examples=["2026-01-01", "2026-01-01T00:00:00Z"],
    ),
    th.Property(
        "end_date",
        th.DateTimeType,
        title="End date",
        description=(
            "Time to stop at, exclusive, UTC. Default: now, including the current bucket."
        ),
    ),
    th.Property(
        "bucket_width",
        th.StringType,
        default="1d",
        allowed_values=["1m", "1h", "1d"],
        title="Bucket width",
        description=(
            "Length of the buckets of messages_usage, analytics_usage and analytics_cost."
            " cost_report supports 1d only."
        ),
    ),
    th.Property(
        "lookback_days",
        th.IntegerType(minimum=0, maximum=3650),
        title="Lookback days",
        description=(
            "Days before the bookmark that each run reads again, because the API restates them."
            " Default, per stream: 30 for analytics_usage, analytics_cost and the legacy Enterprise"
            " reports, 7 for messages_usage and cost_report, 3 for Claude Code, the daily"
            " Enterprise streams and agent_sessions, 1 for compliance_activities. 0 is allowed."
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
                th.Property(
                    "report", th.StringType, required=True, description="Stream it is based on."
                ),
                th.Property(
                    "group_by",
                    th.ArrayType(th.StringType),
                    description="Dimensions. An empty list gives one total per bucket.",
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
                    description="API filters, named without brackets, as lists of strings.",
                ),
                additional_properties=False,
            )
        ),
        title="Custom reports",
        description=(
            "Additional streams: a report with its own dimensions, bucket width and filters. The"
            " settings above do not apply to them."
        ),
    ),
    th.Property(
        "legacy_reports",
        th.BooleanType,
        default=False,
        title="Legacy reports",
        description=(
            "Add the four legacy Enterprise reports. They contain the same data as analytics_usage"
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
            "How names and e-mail addresses of people, IP addresses and user agents are written in"
            " all streams: unchanged (none), replaced by a keyed hash that is the same in every"
            " stream (hash), or null (drop). Ids are not changed."
        ),
    ),
    th.Property(
        "pseudonymize_key",
        th.StringType,
        secret=True,
        title="Pseudonymize key",
        description=(
            "Secret of at least 16 characters for pseudonymize_users: hash. Keep it: a different"
            " key gives different hashes."
        ),
    ),
    th.Property(
        "requests_per_minute",
        th.IntegerType(minimum=0),
        default=50,
        title="Requests per minute",
        description="Rate limit for the whole tap, with a burst of 10. 0 means no limit.",
    ),
    th.Property(
        "request_timeout",
        th.IntegerType(minimum=1),
        default=300,
        title="Request timeout",
        description="Seconds to wait for a response before the request is retried.",
    ),
    th.Property(
        "on_permission_error",
        th.StringType,
        default="fail",
        allowed_values=["fail", "skip"],
        title="On permission error",
        description=(
            "What to do if the key may not read a stream: read all other streams and then fail"
            " (fail), or only log a warning (skip)."
        ),
    ),
    th.Property(
        "emit_activate_version_messages",
        th.BooleanType,
        default=True,
        title="Emit ACTIVATE_VERSION",
        description=(
            "Send ACTIVATE_VERSION after each completely read full table, so that targets can mark"
            " or remove deleted rows."
        ),
    ),
    th.Property(
        "base_url",
        th.StringType,
        default="https://api.anthropic.com",
        title="Base URL",
        description="URL of the API. Must use https, except for localhost.",
    ),
    th.Property(
        "anthropic_version",
        th.StringType,
        default="2023-06-01",
        title="API version",
        description="Value of the anthropic-version header.",
    ),
    th.Property(
        "user_agent",
        th.StringType,
        title="User agent",
        description="Value of the User-Agent header. Default: tap-claude and its version number.",
    ),
).to_dict()

DEFAULTS: dict[str, Any] = {
    name: spec["default"] for name, spec in CONFIG_SCHEMA["properties"].items() if "default" in spec
}
"""The defaults of the schema; nothing else in the package repeats them."""


def with_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings that have a value; null and empty settings count as not set."""
    given = {name: value for name, value in settings.items() if value not in (None, "")}
    return {**DEFAULTS, **given}


class Declaration(Protocol):
    """The attributes of a report class in `streams` that settings depend on."""

    name: str
    credentials: tuple[str, ...]
    dimensions: tuple[str, ...]
    default_group_by: tuple[str, ...]
    filters: tuple[str, ...]
    max_group_by: int
    max_filter_values: int | None
    unlimited_dimensions: tuple[str, ...]
    incompatible: tuple[tuple[str, str], ...]
    page_buckets: Mapping[str, int]


@dataclass(frozen=True)
class ReportSpec:
    """The definition of one report stream."""

    name: str
    base_stream: str
    group_by: tuple[str, ...]
    bucket_width: str = "1d"
    filters: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def definition(self) -> dict[str, Any]:
        """The parts that determine the rows, without the order of dimensions and values."""
        return {
            "group_by": sorted(self.group_by),
            "filters": {name: sorted(values) for name, values in sorted(self.filters.items())},
            "bucket_width": self.bucket_width,
        }


@dataclass(frozen=True)
class Federation:
    """What an identity token is exchanged with."""

    rule_id: str
    organization_id: str
    identity_token_file: str
    service_account_id: str | None = None


class Config:
    """A typed, read-only view of a configuration that `validation` has accepted."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Read settings that `with_defaults` has completed."""
        values = self._values = settings
        self.credentials: Mapping[str, str] = {
            name: values[name] for name in CREDENTIALS if name in values
        }
        self.kinds = organization_types(self.credentials)
        """Kinds of organization that credentials are set for."""
        self.federation: Federation | None = None
        if all(name in values for name in FEDERATION_REQUIRED):
            self.federation = Federation(
                rule_id=values[FEDERATION],
                organization_id=values["federation_organization_id"],
                identity_token_file=values["identity_token_file"],
                service_account_id=values.get("service_account_id"),
            )
        self.agent_workspace_ids: tuple[str, ...] = tuple(
            dict.fromkeys(values.get("agent_workspace_ids") or ())
        )
        """Workspaces that ``workspace_api_key`` reads; empty for the key's own workspace."""
        self.organization_label: str | None = values.get("organization_label")
        self.bucket_width: str = values["bucket_width"]
        self.lookback_days: int | None = values.get("lookback_days")
        """None: use the default of each stream."""
        self.pseudonymize_users: str = values["pseudonymize_users"]
        self.pseudonymize_key: str = values.get("pseudonymize_key", "")
        self.requests_per_minute: int = values["requests_per_minute"]
        self.request_timeout: int = values["request_timeout"]
        self.fails_on_permission_error: bool = values["on_permission_error"] == "fail"
        self.emits_activate_version: bool = values["emit_activate_version_messages"]
        self.legacy_reports: bool = values["legacy_reports"]
        self.base_url: str = values["base_url"]
        self.anthropic_version: str = values["anthropic_version"]
        self.user_agent: str | None = values.get("user_agent")

    @property
    def start_date(self) -> dt.datetime | None:
        """First time to read, UTC, if it is set."""
        return parse_time(self._values["start_date"]) if "start_date" in self._values else None

    @property
    def end_date(self) -> dt.datetime | None:
        """Exclusive end of the range to read, UTC, if it is set."""
        return parse_time(self._values["end_date"]) if "end_date" in self._values else None

    @property
    def pseudonymizes(self) -> bool:
        """Whether names and e-mail addresses of people are replaced or dropped."""
        return self.pseudonymize_users != "none"

    def default_report(self, declared: Declaration) -> ReportSpec:
        """Return the standard report of a class, with the top-level settings applied."""
        return ReportSpec(
            name=declared.name,
            base_stream=declared.name,
            group_by=declared.default_group_by,
            bucket_width=self.bucket_width if self.bucket_width in declared.page_buckets else "1d",
            filters={
                name: self._values[name]
                for name in STANDARD_FILTERS
                if name in declared.filters and self._values.get(name)
            },
        )

    def custom_reports(self) -> Iterator[ReportSpec]:
        """Yield the reports of the setting ``reports``."""
        for entry in self._values.get("reports") or ():
            filters = entry.get("filters") or {}
            yield ReportSpec(
                name=entry["name"],
                base_stream=entry["report"],
                group_by=tuple(entry.get("group_by") or ()),
                bucket_width=entry.get("bucket_width") or "1d",
                filters={name: values for name, values in filters.items() if values},
            )
