"""The SDK's standard tests of a tap, run against the simulator: all streams, both organizations."""

from __future__ import annotations

import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class

from simulator.server import ACCESS_TOKEN, ANALYTICS_KEY, COMPLIANCE_KEY, PERSONAL_KEY
from tap_claude.streams import REPORTS, STREAMS
from tap_claude.tap import TapClaude
from tests.conftest import days_ago, settings, simulated

# The suite builds its tap while pytest collects, so the simulator lives as long as the module.
SIMULATOR = simulated(days=5).__enter__()
CONFIG = settings(
    SIMULATOR,
    access_token=ACCESS_TOKEN,
    analytics_api_key=ANALYTICS_KEY,
    workspace_api_key=PERSONAL_KEY,
    agent_workspace_ids=SIMULATOR.facts.organization.workspaces,
    compliance_api_key=COMPLIANCE_KEY,
    legacy_reports=True,
    start_date=days_ago(4),
    reports=[{"name": "usage_by_model", "report": "messages_usage", "group_by": ["model"]}],
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Fields in transformed catalog but not in records"),
    # some columns are null in so small an organization
    pytest.mark.filterwarnings("ignore:No records were available to test"),
]

TestTapClaude = get_tap_test_class(
    TapClaude, config=CONFIG, suite_config=SuiteConfig(max_records_limit=500)
)


def test_the_suite_reads_all_streams() -> None:
    assert TapClaude(config=CONFIG).streams.keys() == {*REPORTS, *STREAMS, "usage_by_model"}
