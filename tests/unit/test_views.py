"""The views that hide deleted rows."""

from __future__ import annotations

import json
import re

from click.testing import CliRunner

from tap_claude import views
from tests.conftest import only


def test_selected_streams_and_custom_reports_have_views() -> None:
    config = {
        "admin_api_key": "sk-ant-admin01-x",
        "reports": [{"name": "Total", "report": "cost_report", "group_by": []}],
    }
    text = views.script(only(config, "Total", "users", "report_buckets"), "warehouse")
    assert re.findall("create view (.+) as", text) == [
        '"current_Total"',
        "current_report_buckets",
        "current_users",
    ]
    assert "where bucket.stream = 'Total'\n" in text


def test_views_of_days_compare_days() -> None:
    """The time zone of a session would shift a time."""
    catalogue = only({"admin_api_key": "sk-ant-admin01-x"}, "claude_code_usage", "report_buckets")
    assert "and bucket.date = kept.date\n" in views.script(catalogue, "warehouse")


def test_views_need_report_buckets() -> None:
    catalogue = json.dumps(only({"admin_api_key": "sk-ant-admin01-x"}, "users"))
    result = CliRunner().invoke(views.main, ["postgres"], input=catalogue)
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: not a usable catalogue: report_buckets is not in it, or not selected\n"
    )
