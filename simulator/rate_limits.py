"""Rate limits of an organization and of its workspaces (docs: api/admin)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.organization import DEFAULT_WORKSPACE, MODELS, new_id

if TYPE_CHECKING:
    import random

    from simulator.directory import Directory

Row = dict[str, Any]

GROUP_TYPES = ("model_group", "batch", "token_count", "files", "skills", "web_search")
_LIMITERS = {
    "model_group": {
        "requests_per_minute": 4000,
        "input_tokens_per_minute_cache_aware": 2_000_000,
        "output_tokens_per_minute": 400_000,
    },
    "batch": {"enqueued_batch_requests": 500_000, "requests_per_minute": 4000},
    "token_count": {"requests_per_minute": 8000},
    "files": {"storage_bytes": 500_000_000_000},  # more than 32 bits
    "skills": {"requests_per_minute": 100},
    "web_search": {"tool_uses_per_second": 30, "limiter_of_tomorrow": 1},
}


def of_organization(rng: random.Random) -> list[Row]:
    """Return a limit per group of models, and those of other endpoints."""
    rows = []
    for group_type in GROUP_TYPES:
        for model in MODELS if group_type == "model_group" else (None,):
            group = {"type": group_type, "id": new_id(rng, "rlg")}
            if model:
                group["display_name"] = model.display_name
            rows.append(
                {
                    "id": new_id(rng, "rl"),
                    "type": "rate_limit",
                    "group": group,
                    "models": [model.name, f"{model.name}-alias"] if model else None,
                    "limits": [
                        {"type": name, "value": value}
                        for name, value in _LIMITERS[group_type].items()
                    ],
                }
            )
    return rows


def of_workspace(directory: Directory, workspace_id: str, *, inherited: bool) -> list[Row]:
    """Return a workspace's overrides; the default workspace cannot have any."""
    rng = directory.rng(f"limits:{workspace_id}")
    rows = []
    for entry in directory.rate_limits:
        overridden = workspace_id != DEFAULT_WORKSPACE and rng.random() < 0.4
        limits: list[Row] = []
        for limit in entry["limits"]:
            if overridden and (not limits or rng.random() < 0.5):
                limits.append(_workspace_limit(limit["type"], limit["value"] // 2, limit))
            elif inherited:
                limits.append(_workspace_limit(limit["type"], limit["value"], limit))
        if overridden and entry["models"]:
            # A limiter that is set on the workspace only.
            limits.append(_workspace_limit("input_tokens_per_minute", 100_000, None))
        if limits:
            rows.append(
                {
                    "type": "workspace_rate_limit",
                    "rate_limit_id": entry["id"],
                    "workspace_id": workspace_id,
                    "group": entry["group"],
                    "models": entry["models"],
                    "limits": limits,
                }
            )
    return rows


def _workspace_limit(name: str, value: int, limit: Row | None) -> Row:
    own = limit is None or value != limit["value"]
    return {
        "type": name,
        "value": value,
        "org_limit": limit and limit["value"],
        "source": {"type": "workspace" if own else "organization"},
    }
