"""The typed view of the settings, and the definitions of reports."""

from __future__ import annotations

import datetime as dt

import pytest

from tap_claude.config import (
    CONFIG_SCHEMA,
    DEFAULTS,
    SECRETS,
    STANDARD_FILTERS,
    Config,
    ReportSpec,
    with_defaults,
)
from tap_claude.streams import REPORTS
from tests.each import each

UTC = dt.UTC


def test_a_setting_has_its_value_or_its_default() -> None:
    """Null and empty settings count as not set; 0 and false are values."""
    settings = with_defaults(
        {
            "admin_api_key": "k",
            "analytics_api_key": "",
            "bucket_width": None,
            "lookback_days": 0,
            "emit_activate_version_messages": False,
            "end_date": None,
            "models": [],
        }
    )
    assert settings == {
        **DEFAULTS,
        "admin_api_key": "k",
        "lookback_days": 0,
        "emit_activate_version_messages": False,
        "models": [],
    }
    config = Config(settings)
    assert (config.credentials, config.kinds) == ({"admin_api_key": "k"}, ("console",))
    assert (config.bucket_width, config.lookback_days) == ("1d", 0)
    assert (config.emits_activate_version, config.fails_on_permission_error) == (False, True)
    assert (config.start_date, config.end_date, config.organization_label) == (None, None, None)
    assert Config(with_defaults({})).lookback_days is None


@each(
    ("text", "moment"),
    [
        ("2026-01-01", dt.datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T01:30:00+02:00", dt.datetime(2025, 12, 31, 23, 30, tzinfo=UTC)),
    ],
)
def test_dates_are_times_in_utc(text: str, moment: dt.datetime) -> None:
    config = Config(with_defaults({"start_date": text, "end_date": text}))
    assert (config.start_date, config.end_date) == (moment, moment)


def test_each_secret_is_marked_in_the_schema() -> None:
    """The SDK masks the marked settings, and the log filter masks `SECRETS`."""
    marked = [name for name, spec in CONFIG_SCHEMA["properties"].items() if spec.get("secret")]
    assert sorted(marked) == sorted(SECRETS)


@each(
    ("mode", "pseudonymizes"),
    [("none", False), ("hash", True), ("drop", True), (None, False)],
)
def test_people_are_pseudonymized_by_hash_and_drop(
    mode: str | None, *, pseudonymizes: bool
) -> None:
    assert Config(with_defaults({"pseudonymize_users": mode})).pseudonymizes is pseudonymizes


def test_a_definition_does_not_depend_on_order() -> None:
    """The state stores it: a change of order must not look like a change of the report."""
    spec = ReportSpec(
        "a", "messages_usage", ("model", "speed"), "1d", {"models": ["x", "y"], "speeds": ["fast"]}
    )
    same = ReportSpec(
        "b", "messages_usage", ("speed", "model"), "1d", {"speeds": ["fast"], "models": ["y", "x"]}
    )
    assert (
        spec.definition
        == same.definition
        == {
            "group_by": ["model", "speed"],
            "filters": {"models": ["x", "y"], "speeds": ["fast"]},
            "bucket_width": "1d",
        }
    )
    for other in (
        ReportSpec("a", "messages_usage", ("model",), "1d", spec.filters),
        ReportSpec("a", "messages_usage", spec.group_by, "1h", spec.filters),
        ReportSpec("a", "messages_usage", spec.group_by, "1d", {"models": ["x"]}),
    ):
        assert other.definition != spec.definition


@pytest.mark.parametrize("width", ["1m", "1h", "1d"])
def test_standard_reports_take_the_settings_that_they_support(width: str) -> None:
    values = {name: ["x", ""] for name in STANDARD_FILTERS}
    config = Config(with_defaults({**values, "bucket_width": width}))
    cost = config.default_report(REPORTS["cost_report"])
    assert (cost.bucket_width, cost.filters) == ("1d", {})
    analytics = config.default_report(REPORTS["analytics_cost"])
    assert (analytics.bucket_width, analytics.filters) == (width, values)
    assert analytics.group_by == REPORTS["analytics_cost"].default_group_by
    assert list(config.custom_reports()) == []


def test_custom_reports_take_only_their_own_settings() -> None:
    entries = [
        {"name": "total", "report": "messages_usage", "group_by": None, "bucket_width": None},
        {
            "name": "hourly",
            "report": "messages_usage",
            "group_by": ["model"],
            "bucket_width": "1h",
            "filters": {"models": ["x"], "speeds": [], "service_tiers": None},
        },
    ]
    config = Config(with_defaults({"reports": entries, "models": ["y"], "bucket_width": "1m"}))
    assert list(config.custom_reports()) == [
        ReportSpec("total", "messages_usage", (), "1d", {}),
        ReportSpec("hourly", "messages_usage", ("model",), "1h", {"models": ["x"]}),
    ]
