"""Reshaping: one row of the API to the rows of a stream."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from tap_claude.records import SchemaMismatchError
from tap_claude.reshape import (
    per_limiter,
    per_model,
    unchanged,
    with_address,
    with_geo_list,
    with_group_roles,
    with_key_owner,
    with_role_name,
    with_tools,
)
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Callable

Row = dict[str, Any]

PARENT = {
    "date": "2026-01-01",
    "organization_id": "org",
    "actor": {"type": "user_actor"},
    "customer_type": "api",
    "subscription_type": None,
    "terminal_type": "iTerm.app",
    "is_remote": False,
}


@each(
    ("reshape", "row", "expected"),
    [
        (unchanged, {"a": {"b": 1}}, [{"a": {"b": 1}}]),
        (
            with_tools,
            {"n": 1, "tool_actions": {"edit_tool": {"accepted": 2}, "new_tool": {"accepted": 3}}},
            [
                {
                    "n": 1,
                    "edit_tool": {"accepted": 2},
                    "other_tool_actions": {"new_tool": {"accepted": 3}},
                }
            ],
        ),
        (with_tools, {"tool_actions": None}, [{"other_tool_actions": None}]),
        (with_tools, {}, [{"other_tool_actions": None}]),
        (
            per_model,
            {**PARENT, "num_sessions": 3, "model_breakdown": [{"model": "a"}, {"model": "b"}]},
            [{**PARENT, "model": "a"}, {**PARENT, "model": "b"}],
        ),
        (per_model, {**PARENT, "model_breakdown": None}, []),
        (
            per_limiter,
            {
                "group": {"type": "model_group", "id": "g"},
                "models": ["m"],
                "limits": [{"type": "rpm", "value": 1}, {"type": "itpm", "value": None}],
            },
            [
                {"models": ["m"], "group_type": "model_group", "group_id": "g", **limit}
                for limit in (
                    {"limit_type": "rpm", "limit_value": 1},
                    {"limit_type": "itpm", "limit_value": None},
                )
            ],
        ),
        (  # before 2026-10-21
            per_limiter,
            {"group_type": "batch", "limits": [{"type": "rpm"}]},
            [{"group_type": "batch", "limit_type": "rpm"}],
        ),
        (per_limiter, {"group_type": "batch", "limits": []}, []),
        (
            with_key_owner,
            {
                "scope": {"type": "workspace", "workspace_id": "w"},
                "principal": {"type": "user_actor", "user_id": "u"},
            },
            [
                {
                    "scope": {"type": "workspace", "workspace_id": "w"},
                    "principal": {"type": "user_actor", "user_id": "u"},
                    "workspace_id": "w",
                }
            ],
        ),
        (
            with_key_owner,
            {"workspace_id": "w", "principal": {"type": "service_account", "id": "s"}},
            [
                {
                    "workspace_id": "w",
                    "principal": {"type": "service_account_actor", "service_account_id": "s"},
                }
            ],
        ),
        (with_key_owner, {}, [{"principal": None, "workspace_id": None}]),
        (with_group_roles, {"roles": [{"id": "r"}, "s"]}, [{"role_ids": ["r", "s"]}]),
        (with_group_roles, {"role_ids": []}, [{"role_ids": []}]),
        (with_group_roles, {"role_ids": None}, [{"role_ids": None}]),
        (with_role_name, {"name": "Owner"}, [{"display_name": "Owner"}]),
        (with_role_name, {"name": "a", "display_name": "B"}, [{"display_name": "B"}]),
        (
            with_address,
            {"actor": {"email": "a@b.c", "id": "u"}},
            [{"actor": {"email_address": "a@b.c", "id": "u"}}],
        ),
        (
            with_address,
            {"actor": {"email": "old@b.c", "email_address": "new@b.c"}},
            [{"actor": {"email_address": "new@b.c"}}],
        ),
        (with_address, {"actor": None}, [{"actor": None}]),
        (
            with_geo_list,
            {"data_residency": {"workspace_geo": "us", "allowed_inference_geos": "unrestricted"}},
            [
                {
                    "data_residency": {
                        "workspace_geo": "us",
                        "allowed_inference_geos": ["unrestricted"],
                    }
                }
            ],
        ),
        (
            with_geo_list,
            {"data_residency": {"allowed_inference_geos": ["us", "global"]}},
            [{"data_residency": {"allowed_inference_geos": ["us", "global"]}}],
        ),
        (with_geo_list, {"data_residency": None}, [{"data_residency": None}]),
    ],
)
def test_rows(reshape: Callable[[Row], list[Row]], row: Row, expected: list[Row]) -> None:
    """The row of the API is not changed: two streams may read it."""
    before = copy.deepcopy(row)
    assert reshape(row) == expected
    assert row == before


@each(
    ("reshape", "row", "message"),
    [
        (with_tools, {"tool_actions": []}, "'tool_actions' should be an object"),
        (per_model, {"model_breakdown": {}}, "'model_breakdown' should be a list of objects"),
        (per_model, {"model_breakdown": [1]}, "'model_breakdown' should be a list of objects"),
        (per_limiter, {"group": "batch"}, "'group' should be an object"),
        (per_limiter, {"limits": ["rpm"]}, "'limits' should be a list of objects"),
        (with_key_owner, {"scope": "workspace"}, "'scope' should be an object"),
        (with_key_owner, {"principal": "u"}, "'principal' should be an object"),
        (with_geo_list, {"data_residency": "us"}, "'data_residency' should be an object"),
    ],
)
def test_a_field_of_another_type_is_an_error_with_its_name(
    reshape: Callable[[Row], list[Row]], row: Row, message: str
) -> None:
    with pytest.raises(SchemaMismatchError, match=message):
        reshape(row)
