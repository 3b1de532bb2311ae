"""The SDK's standard tests of a tap, run against the simulator."""

from __future__ import annotations

import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class

from tap_claude.tap import TapClaude
from tests.conftest import days_ago, settings, simulated

# The suite builds its tap while pytest collects, so the simulator lives as long as the module.
SIMULATOR = simulated(days=5).__enter__()

pytestmark = [
    pytest.mark.filterwarnings("ignore:Fields in transformed catalog but not in records"),
    # some columns are null in so small an organization
    pytest.mark.filterwarnings("ignore:No records were available to test"),
]

TestTapClaude = get_tap_test_class(
    TapClaude,
    config=settings(
        SIMULATOR,
        start_date=days_ago(4),
        reports=[{"name": "usage_by_model", "report": "messages_usage", "group_by": ["model"]}],
    ),
    suite_config=SuiteConfig(max_records_limit=500),
)
