"""Responses that are stored for another stream."""

from __future__ import annotations

import datetime as dt

from tap_claude.response_cache import ResponseCache


def test_a_response_is_stored_for_its_own_request_and_credential_only() -> None:
    cache = ResponseCache()
    sent_at = dt.datetime.now(dt.UTC)
    cache.put(("/users?limit=1", "admin_api_key"), b"one", sent_at)
    cache.put(("/users?limit=1", "analytics_api_key"), b"two", sent_at)
    assert cache.get(("/users?limit=1", "admin_api_key")) == (b"one", sent_at)
    assert cache.get(("/users?limit=1", "analytics_api_key")) == (b"two", sent_at)
    assert cache.get(("/users?limit=2", "admin_api_key")) is None
    assert cache.get(("/users?limit=1", "access_token")) is None
