"""Validation of the configuration, before the first request."""

from __future__ import annotations

import datetime as dt
import difflib
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from singer_sdk.typing import DEFAULT_JSONSCHEMA_VALIDATOR

from tap_claude.config import DEFAULTS, FEDERATION_REQUIRED, SECRETS
from tap_claude.credentials import CREDENTIALS, FEDERATION, credential_for
from tap_claude.redaction import sanitize_for_log
from tap_claude.session import is_loopback
from tap_claude.windows import WIDTHS, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jsonschema import ValidationError

    from tap_claude.config import Config, Declaration

BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
"""Texts of booleans in environment variables, case-insensitive."""

TYPES = {
    "array": "an array",
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "object": "an object",
    "string": "a string",
}
"""Names of JSON Schema types in error messages."""

MIN_KEY_LENGTH = 16
"""Minimum length of ``pseudonymize_key``."""

MAX_START_AHEAD = dt.timedelta(hours=26)
"""How far in the future ``start_date`` may be: time zones and clocks differ."""

_WORKSPACE_ID = re.compile(r"wrkspc_[A-Za-z0-9_-]{1,100}", re.ASCII)
# At most 63 characters, the limit of PostgreSQL; characters that every target accepts.
_STREAM_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_JWT = re.compile(r"\s*eyJ[\w-]+\.[\w-]*\.")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def find_errors(config: dict[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Return an error for every setting whose type or value violates the JSON Schema."""
    return [_describe(error) for error in DEFAULT_JSONSCHEMA_VALIDATOR(schema).iter_errors(config)]


def _describe(error: ValidationError) -> str:
    path = "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path
    ).removeprefix(".")
    if path in SECRETS:
        return f"{path}: must be a string"
    if error.validator == "type":
        allowed: Any = error.validator_value
        kinds = [TYPES[name] for name in TYPES if name in allowed]
        is_text = isinstance(error.instance, str) and kinds[0] in {"an array", "an object"}
        hint = "; in an environment variable, write it as JSON" if is_text else ""
        return f"{path}: must be {' or '.join(kinds)}{hint}"
    return sanitize_for_log(f"{path}: {error.message}" if path else error.message)


def problems(config: Mapping[str, Any], *, now: dt.datetime) -> Iterator[str]:
    """Yield an error for every problem that the JSON Schema cannot express.

    The types of the settings have been checked before.
    """
    federation = [*_federation_problems(config)]
    if credential_for(config, CREDENTIALS) is None and not federation:
        yield (
            "no credential is set: set admin_api_key (Claude Console), analytics_api_key (Claude"
            " Enterprise), access_token (OAuth), federation_rule_id (workload identity federation),"
            " workspace_api_key (a workspace) or compliance_api_key; the README describes how to"
            " create one"
        )
    yield from federation
    for id_ in config.get("agent_workspace_ids") or ():
        if not _WORKSPACE_ID.fullmatch(id_):
            yield f"agent_workspace_ids: {id_!a:.80} is not the id of a workspace, wrkspc_..."
    yield from _time_problems(config, now)
    if config.get("pseudonymize_users") == "hash" and not config.get("pseudonymize_key"):
        yield (
            "pseudonymize_key: is required by pseudonymize_users: hash; set a long random secret"
            " and keep it, because a different key gives different hashes"
        )
    if 0 < len(config.get("pseudonymize_key") or "") < MIN_KEY_LENGTH:
        yield f"pseudonymize_key: is too short; use at least {MIN_KEY_LENGTH} characters"
    yield from _url_problems(config.get("base_url", DEFAULTS["base_url"]))
    for name in ("anthropic_version", "user_agent", *CREDENTIALS):
        if re.search(r"[^\x20-\x7e]", config.get(name) or ""):
            yield f"{name}: has characters that are not allowed in HTTP headers (a line break?)"


def _federation_problems(config: Mapping[str, Any]) -> Iterator[str]:
    used = [name for name in (*FEDERATION_REQUIRED, "service_account_id") if config.get(name)]
    for name in FEDERATION_REQUIRED if used else ():
        if name not in used:
            yield f"{name}: is required by {used[0]}; workload identity federation needs both"
    if _JWT.match(config.get("identity_token_file") or ""):
        yield "identity_token_file: must be the path of a file, not the token itself"
    if used and config.get("access_token"):
        yield (
            f"access_token: cannot be used together with {used[0]}, which exchanges access tokens;"
            " remove one of them"
        )


def _time_problems(config: Mapping[str, Any], now: dt.datetime) -> Iterator[str]:
    times: dict[str, dt.datetime] = {}
    for name in ("start_date", "end_date"):
        if config.get(name):
            try:
                times[name] = parse_time(config[name])
            except ValueError:
                yield (
                    f"{name}: {config[name]!a:.60} is not a date or time; use the format 2026-01-01"
                    " or 2026-01-01T00:00:00Z"
                )
    start, end = times.get("start_date"), times.get("end_date")
    if start and end and end <= start:
        yield "end_date: must be after start_date, because it is exclusive"
    elif start and start >= now + MAX_START_AHEAD:
        yield "start_date: is in the future; use a date in the past"


def _url_problems(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        yield "base_url: is not a URL"
        return
    if parts.username or parts.password or parts.query or parts.fragment:
        yield "base_url: must not contain a user name, a password, a query or a fragment"
    elif not host or parts.scheme not in {"https", "http"}:
        yield f"base_url: must be an https URL like {DEFAULTS['base_url']}"
    elif parts.scheme == "http" and not is_loopback(host):
        yield "base_url: must use https, so that the key is encrypted; http is for localhost only"


def report_problems(
    config: Mapping[str, Any], declared: Mapping[str, Declaration], taken: Iterable[str]
) -> Iterator[str]:
    """Yield an error for every problem in the setting ``reports``."""
    names = {name.lower() for name in taken}
    for index, entry in enumerate(config.get("reports") or ()):
        where = f"reports[{index}]"
        name, report = entry["name"], entry["report"]
        if not _STREAM_NAME.fullmatch(name):
            yield (
                f"{where}.name: {name!a:.80} is not a valid table name; use up to 63 letters,"
                " digits and _, and do not start with a digit"
            )
        if name.lower() in names:
            yield f"{where}.name: '{name}' is already taken by another stream; choose another name"
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
                f"{_suggest(name, declared.dimensions, 'dimensions')}"
            )
    if len(set(group_by)) < len(group_by):
        yield f"{where}.group_by: contains a dimension twice; remove one"
    counted = [name for name in group_by if name not in declared.unlimited_dimensions]
    if len(counted) > declared.max_group_by:
        uncounted = (
            f", not counting {' and '.join(declared.unlimited_dimensions)}"
            if declared.unlimited_dimensions
            else ""
        )
        yield (
            f"{where}.group_by: {len(counted)} dimensions, but the API accepts at most "
            f"{declared.max_group_by}{uncounted}"
        )
    used = {*group_by, *(entry.get("filters") or {})}
    for one, other in declared.incompatible:
        if {one, other} <= used:
            yield f"{where}: the API does not accept {one} together with {other}"
    yield from _filter_problems(where, entry.get("filters") or {}, declared)
    width = entry.get("bucket_width") or "1d"
    if width in WIDTHS and width not in declared.page_buckets:
        yield (
            f"{where}.bucket_width: {declared.name} does not support {width}, only "
            f"{', '.join(declared.page_buckets)}"
        )


def _filter_problems(
    where: str, filters: Mapping[str, Any], declared: Declaration
) -> Iterator[str]:
    for name in filters:
        if name not in declared.filters:
            yield (
                f"{where}.filters: {declared.name} has no filter {name!a:.80}; "
                f"{_suggest(name, declared.filters, 'filters')}"
            )
    values = sum(map(len, filter(None, filters.values())))
    if declared.max_filter_values is not None and values > declared.max_filter_values:
        yield (
            f"{where}.filters: {values} values, but the API accepts at most "
            f"{declared.max_filter_values}; use fewer"
        )


def from_environment(texts: Mapping[str, str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Convert environment variables to typed values; empty ones are not set.

    A text that cannot be converted stays unchanged, so that validation reports it.
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
    """Yield a warning for every unknown setting; it may be a typo."""
    known = list(known)
    for name in config:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            yield f"{name!a:.80}: unknown setting, ignored" + (
                f"; did you mean {close[0]}?" if close else ""
            )


def report_warnings(config: Config, declared: Mapping[str, Declaration]) -> Iterator[str]:
    """Yield a warning for every custom report that is valid, but left out or misleading."""
    for report in config.custom_reports():
        accepted = declared[report.base_stream].credentials
        if config.credentials and credential_for(config.credentials, accepted) is None:
            yield (
                f"report {report.name}: is left out, because {report.base_stream} needs"
                f" {' or '.join(accepted)}, which is not set"
            )
        if "token_type" in report.group_by and "cost_type" not in report.group_by:
            yield (
                f"report {report.name}: grouped by token_type alone, the API leaves out costs"
                " other than tokens; add cost_type to include them"
            )
        if "rbac_group_id" in report.group_by:
            yield f"report {report.name}: RBAC groups overlap, so their sum can exceed the total"


def privacy_warnings(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a warning if people could still be identified."""
    if config.get("pseudonymize_users") == "drop" and not config.get("pseudonymize_key"):
        yield (
            "pseudonymize_users: drop without pseudonymize_key: the row_id of Claude Code rows is a"
            " hash that includes the e-mail address, so a guessed address can be verified; set a"
            " key"
        )


def key_warnings(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a warning for keys whose prefix shows that they belong in another setting.

    Personal and service-account keys are valid Admin API credentials, so they cause no warning.
    """
    for name in ("analytics_api_key", "workspace_api_key", "compliance_api_key"):
        if str(config.get(name, "")).startswith("sk-ant-admin"):
            yield f"{name} looks like an Admin API key, which belongs in admin_api_key"
    if config.get("agent_workspace_ids") and not config.get("workspace_api_key"):
        yield "agent_workspace_ids has no effect without workspace_api_key, which reads workspaces"
    if str(config.get("admin_api_key", "")).startswith("sk-ant-oat"):
        yield "admin_api_key looks like an OAuth token, which belongs in access_token"
    if config.get(FEDERATION) and not _UUID.fullmatch(config["federation_organization_id"]):
        yield (
            "federation_organization_id is not a UUID; the Console shows the organization's UUID"
            " under Settings → Organization"
        )


def _suggest(name: str, allowed: Iterable[str], kind: str) -> str:
    allowed = sorted(allowed)
    if not allowed:
        return f"it has no {kind}"
    close = difflib.get_close_matches(name, allowed, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{hint}allowed: {', '.join(allowed)}"
