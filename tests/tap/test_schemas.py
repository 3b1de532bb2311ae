"""Targets get the schemas as they are declared."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import days_ago, settings
from tests.unit.test_schemas import FILES


@pytest.mark.slow
def test_messages_keep_precision_and_scale(simulate: Any, tap: Any) -> None:
    """The SDK's own schema model drops them; Snowflake would then keep whole dollars."""
    config = settings(simulate(days=2), start_date=days_ago(1))
    catalog = json.loads(tap("--discover", config=config).stdout)
    emitted = tap(config=config).schemas["cost_report"]["schema"]
    aliased = tap(
        config={**config, "stream_maps": {"cost_report": {"__alias__": "c"}}}, catalog=catalog
    )
    discovered = next(s for s in catalog["streams"] if s["stream"] == "cost_report")["schema"]
    for schema in (emitted, discovered, aliased.schemas["c"]["schema"]):
        assert (
            schema["properties"]["amount_usd"] == FILES["cost_report"]["properties"]["amount_usd"]
        )
