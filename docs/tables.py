"""Tables of the pages, generated from the tap's declarations. ``make docs`` renews them.

A page calls these functions in a comment that cog runs, and cog writes what they print below it.
"""

from __future__ import annotations

import importlib.resources
import json
from pathlib import Path
from typing import Any

import yaml

from tap_claude.config import FEDERATION_REQUIRED
from tap_claude.credentials import CREDENTIALS, OAUTH
from tap_claude.streams import REPORTS, STREAMS
from tap_claude.tap import TapClaude

KINDS = {
    "Console": {"admin_api_key", "access_token"},
    "Enterprise": {"analytics_api_key", "compliance_api_key"},
}

# The README has a table of the keys, and most users leave the rest as it is.
NOT_IN_README = {
    *CREDENTIALS,
    *FEDERATION_REQUIRED,
    "service_account_id",
    "agent_workspace_ids",
    "base_url",
    "anthropic_version",
    "user_agent",
}


def streams() -> None:
    """Print all streams but the legacy reports: content, organization, replication key."""
    _row("stream", "content", "organization", "replication key")
    _row("---", "---", "---", "---")
    for name, stream in {**REPORTS, **STREAMS}.items():
        if not stream.is_legacy:
            schema = importlib.resources.files("tap_claude.schemas") / f"{name}.json"
            content = json.loads(schema.read_text("utf-8"))["description"].removesuffix(".")
            _row(f"`{name}`", content, _organization(stream.credentials), _replication(name))


def keys() -> None:
    """Print the primary and the replication key of each stream."""
    _row("stream", "primary key", "replication key")
    _row("---", "---", "---")
    for name, stream in {**REPORTS, **STREAMS}.items():
        columns: Any = stream.primary_keys
        _row(f"`{name}`", ", ".join(f"`{column}`" for column in columns), _replication(name))


def settings(*, common: bool = False) -> None:
    """Print the tap's own settings with their defaults; ``common`` leaves some out."""
    _row("setting", "default", "description")
    _row("---", "---", "---")
    for name, setting in TapClaude.config_jsonschema["properties"].items():
        if common and name in NOT_IN_README:
            continue
        default = setting.get("default")
        text = default if isinstance(default, str) else json.dumps(default)
        _row(f"`{name}`", "" if default is None else f"`{text}`", setting["description"])


def marts() -> None:
    """Print the marts of the dbt package with their descriptions."""
    page = Path(__file__).parents[1] / "transform" / "models" / "marts" / "_marts.yml"
    _row("mart", "content")
    _row("---", "---")
    for model in yaml.safe_load(page.read_text("utf-8"))["models"]:
        _row(f"`{model['name']}`", model["description"].strip())


def _organization(credentials: tuple[str, ...]) -> str:
    found = set(credentials)
    kinds = [kind for kind, keys in KINDS.items() if found & keys]
    if found <= set(OAUTH):
        return "Console (OAuth only)"
    if found == {"workspace_api_key"}:
        return "Workspaces"
    return ", ".join(kinds)


def _replication(name: str) -> str:
    key = {**REPORTS, **STREAMS}[name].replication_key
    if isinstance(key, str):
        return f"`{key}`"
    return "rows of the run" if name == "report_buckets" else "full table"


def _row(*cells: str) -> None:
    print("|" + "|".join(cells) + "|" if cells[0] == "---" else f"| {' | '.join(cells)} |")
