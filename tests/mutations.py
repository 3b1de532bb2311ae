"""Prove that every rule has a test: break the rules one by one; the tests must fail.

``python -m tests.mutations [NAME ...]`` applies each mutation to a copy of the tracked files, runs
the tests that should fail, and prints which one did. It exits with 1 if a mutation survived
or could not be tried. With ``--baseline``, the same tests run on an unchanged copy instead, where
all of them must pass: otherwise, a failure proves nothing.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parent.parent
PACKAGE = "tap_claude"
TIMEOUT = 300
"""Seconds for the tests of one mutation."""
_FAILED = re.compile(r"^(?:FAILED (\S+)|ERROR (\S+) - AssertionError)", re.MULTILINE)
"""A failed test, or an assertion of its fixture, such as that dbt's own tests pass."""
TESTS_PASSED, TESTS_FAILED = 0, 1
"""Exit codes of pytest; others mean that the tests did not run."""
CAUGHT, SURVIVED = "caught", "SURVIVED"


class Mutation(NamedTuple):
    """A deliberate break of one rule."""

    name: str
    module: str
    """A module of the tap, or the path of another file."""
    text: str
    """Source text, which occurs once in the module."""
    replacement: str
    tests: str
    """Arguments of pytest: the tests that should fail."""

    @property
    def file(self) -> str:
        """Path of the file that is broken."""
        return self.module if "/" in self.module else f"{PACKAGE}/{self.module}.py"


MUTATIONS = (
    # -- workload identity federation
    Mutation(
        "an access token is used until it expires",
        "federation",
        "min(RENEW_BEFORE, lifetime / 2)",
        "0",
        "tests/unit/test_federation.py -k renewed_before_it_expires",
    ),
    Mutation(
        "two threads exchange at the same time",
        "federation",
        "        with self._lock:\n            if self._token is None or",
        "        if self._lock:\n            if self._token is None or",
        "tests/unit/test_federation.py -k threads_share",
    ),
    Mutation(
        "an old refusal discards a new access token",
        "federation",
        "if self._token == token:",
        "if True:",
        "tests/unit/test_federation.py -k discarded_once",
    ),
    Mutation(
        "an access token is not masked",
        "federation",
        "REDACTION.hide({token})",
        "pass",
        "tests/tap/test_federation.py -k echo_of_the_access_token",
    ),
    Mutation(
        "a part of the identity token is not masked",
        "federation",
        'REDACTION.hide({*text.split(".")[1:]})',
        "pass",
        "tests/tap/test_federation.py -k echo_of_the_token",
    ),
    Mutation(
        "an expired identity token is sent",
        "federation",
        "and expires_at < now - CLOCK_LEEWAY:",
        "and False:",
        "tests/tap/test_federation.py -k file_that_cannot_be_used",
    ),
    Mutation(
        "a refused exchange starves the other streams",
        "federation",
        "RunError if [*config.credentials] == [FEDERATION] else StreamError",
        "RunError",
        "tests/tap/test_federation.py -k leaves_the_other_streams",
    ),
    Mutation(
        "a refused access token is used again",
        "client",
        "self._tokens.discard(secret)",
        "pass",
        "tests/tap/test_federation.py -k 401_is_renewed",
    ),
    Mutation(
        "a large token response makes a report shorter",
        "client",
        "        except ResponseTooLargeError as error:\n            # Not about",
        "        except ZeroDivisionError as error:\n            # Not about",
        "tests/tap/test_federation.py -k is_down_is_tried_again",
    ),
    Mutation(
        "a 401 of the token endpoint is not tried again",
        "federation",
        "if response.status == HTTPStatus.UNAUTHORIZED:",
        "if False:",
        "tests/tap/test_federation.py -k is_down_is_tried_again",
    ),
    Mutation(
        "a token is taken before the limiter waits",
        "session",
        "        self._throttle.wait()\n        headers, body = content()\n",
        "        headers, body = content()\n        self._throttle.wait()\n",
        "tests/tap/test_session.py",
    ),
    # -- bookmarks and windows
    Mutation(
        "the bookmark moves back",
        "bookmarks",
        "elif bookmark is not None and parse_time(starting_at) <= bookmark:",
        "elif False:",
        "tests/unit/test_bookmarks.py -k moves_forward_only",
    ),
    Mutation(
        "a changed definition is not refused",
        "bookmarks",
        "if before is None or before == self._definition:",
        "if True:",
        "tests/unit/test_bookmarks.py -k another_definition",
    ),
    Mutation(
        "a bookmark in the future stays",
        "bookmarks",
        "if bookmark is not None and bookmark > dt.datetime.now(dt.UTC):",
        "if False:",
        "tests/unit/test_bookmarks.py -k bookmark_in_the_future",
    ),
    Mutation(
        "a bookmark in the future is used",
        "incremental",
        "            bookmark = now\n",
        "",
        "tests/tap/test_surroundings.py -k bookmark_in_the_future",
    ),
    Mutation(
        "a second credential takes the bookmark of the first",
        "bookmarks",
        "if not self._partition and self._stream.reads_two_kinds:",
        "if False:",
        "tests/tap/test_analytics.py -k second_credential",
    ),
    Mutation(
        "two organizations share a bookmark",
        "bookmarks",
        """if part["context"] == mine]""",
        """]""",
        "tests/unit/test_bookmarks.py -k its_own_bookmark",
    ),
    Mutation(
        "the lookback is ignored",
        "incremental",
        "lookback=dt.timedelta(days=days),",
        "lookback=dt.timedelta(0),",
        "tests/tap/test_reports.py -k lookback",
    ),
    Mutation(
        "the bookmark passes a missing bucket",
        "report_read",
        "if start <= self._finished_until < end:",
        "if True:",
        "tests/tap/test_enterprise.py -k gap_in_a_series",
    ),
    Mutation(
        "the complete buckets of an invalid page do not count",
        "report_read",
        "self._bookmark.advance(newest)  # to the last complete bucket",
        "pass",
        "tests/tap/test_reports.py -k last_complete_bucket",
    ),
    Mutation(
        "a day long ago counts as the newest one",
        "report_read",
        "if full_range.end - _NEWEST_DAY_LAG <= day < window.end",
        "if day < window.end",
        "tests/tap/test_enterprise.py -k day_of_the_last_week",
    ),
    Mutation(
        "the end date is inclusive",
        "windows",
        "end = now if end_date is None else min(now, end_date)",
        "end = now if end_date is None else min(now, end_date + width)",
        "tests/unit/test_windows.py",
    ),
    Mutation(
        "unreported buckets are not read again",
        "windows",
        "start = min(start, unreported_since)",
        "pass",
        "tests/tap/test_bucket_log.py -k killed_run",
    ),
    Mutation(
        "days before the API's first day are requested",
        "windows",
        "return max(floors, default=None)",
        "return None",
        "tests/unit/test_windows.py",
    ),
    Mutation(
        "the size of earlier responses is ignored",
        "windows",
        "return max(1, min(self._most, self._target_bytes // self._bucket_bytes))",
        "return self._most",
        "tests/tap/test_reports.py -k pages_grow",
    ),
    Mutation(
        "a window that is too large is not split",
        "windows",
        "return buckets > 1",
        "return False",
        "tests/tap/test_prefetch.py -k too_large",
    ),
    Mutation(
        "the day that the API names as its newest is ignored",
        "report_read",
        "if stream.names_newest_day and (newest := _newest_day(error, window, self._range)):",
        "if stream.names_newest_day and (newest := None):",
        "tests/tap/test_enterprise.py -k decides_which_day",
    ),
    Mutation(
        "any report ends at a day that an error names",
        "report_read",
        "if stream.names_newest_day and (newest := _newest_day(error, window, self._range)):",
        "if newest := _newest_day(error, window, self._range):",
        "tests/tap/test_reports.py -k about_available_data",
    ),
    Mutation(
        "an API that refuses the future ends a report",
        "report_read",
        "if window.end <= self._now or not _refuses_future(error):",
        "if True:",
        "tests/tap/test_reports.py -k end_in_the_future",
    ),
    Mutation(
        "a full table has a bookmark",
        "bookmarks",
        'self.is_kept = stream.replication_method == "INCREMENTAL"',
        "self.is_kept = True",
        "tests/unit/test_bookmarks.py -k full_table",
    ),
    # -- report_buckets
    Mutation(
        "the state does not have the unreported buckets",
        "bucket_log",
        "self.parts[-1][UNREPORTED_SINCE] = format_time(self.until)",
        "pass",
        "tests/tap/test_bucket_log.py -k killed_run",
    ),
    Mutation(
        "the state never forgets unreported buckets",
        "bucket_log",
        "part.pop(UNREPORTED_SINCE, None)",
        "part.get(UNREPORTED_SINCE)",
        "tests/tap/test_bucket_log.py -k killed_run",
    ),
    Mutation(
        "a long log waits for the end of the run",
        "bucket_log",
        "return len(self.waiting) > MOST_BUCKETS or (late and bool(self.waiting))",
        "return False",
        "tests/tap/test_bucket_log.py -k long_log",
    ),
    Mutation(
        "a full table has a new row in every run",
        "report_buckets",
        'start = "" if bucket.bucket_width == FULL else bucket.starting_at',
        "start = bucket.starting_at",
        "tests/tap/test_bucket_log.py -k empty_full_table",
    ),
    Mutation(
        "report_buckets keeps what it has written",
        "report_buckets",
        "        log.reported()\n",
        "",
        "tests/tap/test_bucket_log.py -k killed_run",
    ),
    Mutation(
        "report_buckets is not the last stream",
        "tap",
        "if last := streams.pop(ReportBuckets.name, None):",
        "if last := streams.get(ReportBuckets.name, None):",
        "tests/tap/test_bucket_log.py -k last_stream",
    ),
    # -- buckets and rows
    Mutation(
        "a row of another day is accepted",
        "buckets",
        'if found != asked["starting_at"] and (found is not None or self.has_dated_rows):',
        "if False:",
        "tests/tap/test_analytics.py -k out_of_order_or_range",
    ),
    Mutation(
        "the end of a row is not checked",
        "buckets",
        "if record[name] not in (None, asked[name]):",
        "if False:",
        "tests/tap/test_analytics.py -k row_of_a_month",
    ),
    Mutation(
        "a growing bucket is complete",
        "buckets",
        "return Bucket(window, rows, window.end <= until,",
        "return Bucket(window, rows, window.start <= until,",
        "tests/tap/test_reports.py -k running_bucket",
    ),
    Mutation(
        "the time up to which data are complete is ignored",
        "buckets",
        "until = min(page.sent_at, page.data_refreshed_at or page.sent_at)",
        "until = page.sent_at",
        "tests/tap/test_analytics.py -k is_complete",
    ),
    Mutation(
        "the organization that a row names is overwritten",
        "buckets",
        "if own_organization is not None:",
        "if False:",
        "tests/tap/test_organizations.py -k that_a_row_names",
    ),
    Mutation(
        "rows of a large bucket are not merged",
        "buckets",
        "if repeated is not None and row_id[:16] not in repeated:",
        "if repeated is not None:",
        "tests/unit/test_buckets.py",
    ),
    Mutation(
        "a missing bucket is not noticed",
        "report_kinds",
        "if start != self._due or end - start != self._width or end > self._window.end:",
        "if end - start != self._width or end > self._window.end:",
        "tests/tap/test_pagination.py -k not_requested",
    ),
    Mutation(
        "days are accepted as hours",
        "report_kinds",
        "if start != self._due or end - start != self._width or end > self._window.end:",
        "if start != self._due or end > self._window.end:",
        "tests/tap/test_reports.py -k days_are_not_accepted",
    ),
    Mutation(
        "a bucket does not continue on the next page",
        "report_kinds",
        "if index == 0 and reading.continues(window):",
        "if False:",
        "tests/tap/test_pagination.py -k continues_on",
    ),
    Mutation(
        "a bucket is finished before its next page",
        "report_kinds",
        "if not page.has_next:",
        "if True:",
        "tests/tap/test_pagination.py -k continues_on",
    ),
    Mutation(
        "rows out of order are accepted",
        "report_kinds",
        "if moment < start or moment >= window.end or (moment - window.start) % self.width:",
        "if False:",
        "tests/tap/test_analytics.py -k out_of_order_or_range",
    ),
    Mutation(
        "days of a series out of order are accepted",
        "report_kinds",
        "if start < due or end > window.end or (start - window.start) % self.width:",
        "if False:",
        "tests/tap/test_enterprise.py -k series_that_is_out_of_order",
    ),
    Mutation(
        "unordered rows of another window are dropped",
        "report_kinds",
        "                if start not in rows:\n                    raise _out_of_order(start)",
        "                if start not in rows:\n                    continue",
        "tests/tap/test_enterprise.py -k unordered_row",
    ),
    Mutation(
        "buckets are held until the end of a page",
        "report_kinds",
        "            yield from map(self._complete, reading.release())\n            reading.hold(",
        "            reading.hold(",
        "tests/tap/test_reports.py -k days_without_data",
    ),
    Mutation(
        "a Claude Code day is complete at midnight",
        "report_kinds",
        "window.end <= held[0].sent_at - self.delay",
        "window.end <= held[0].sent_at",
        "tests/tap/test_claude_code.py -k a_day_is_complete",
    ),
    Mutation(
        "a truncated bucket causes no warning",
        "report_kinds",
        "if limit is not None and len(rows) >= limit and not self._has_warned_of_limit:",
        "if False:",
        "tests/tap/test_enterprise.py -k truncated",
    ),
    Mutation(
        "a state may be ahead of a batch",
        "incremental",
        "if self.get_batch_config(self.config) is None:",
        "if True:",
        "tests/tap/test_cli.py -k batch_mode",
    ),
    # -- records, keys, money
    Mutation(
        "rows with one key overwrite each other",
        "records",
        "into[name] = left + right",
        "into[name] = right",
        "tests/unit/test_buckets.py",
    ),
    Mutation(
        "a null erases a sum",
        "records",
        "into[name] = right if left is None else left",
        "into[name] = None",
        "tests/unit/test_buckets.py",
    ),
    Mutation(
        "amounts of rows with one key overwrite each other",
        "records",
        "into[name] = add_amounts(left, right)",
        "into[name] = right",
        "tests/unit/test_buckets.py",
    ),
    Mutation(
        "integers have any size",
        "records",
        "if kind is int and not MIN_INTEGER <= value <= MAX_INTEGER:",
        "if False:",
        "tests/unit/test_records.py -k 64_bits",
    ),
    Mutation(
        "a sum of integers has any size",
        "records",
        "if not MIN_INTEGER <= into[name] <= MAX_INTEGER:",
        "if False:",
        "tests/unit/test_records.py -k 64_bits",
    ),
    Mutation(
        "a boolean is an integer",
        "records",
        "if isinstance(value, int) and not isinstance(value, bool):",
        "if isinstance(value, int):",
        "tests/unit/test_records.py -k wrong_type",
    ),
    Mutation(
        "every currency is dollars",
        "records",
        'record[currency] == "USD"',
        "record[currency]",
        "tests/unit/test_records.py -k dollars_need_the_currency",
    ),
    Mutation(
        "dollars have whole cents only",
        "money",
        'return f"{whole[:-2]}.{whole[-2:]}{fraction}"',
        'return f"{whole[:-2]}.{whole[-2:]}"',
        "tests/unit/test_money.py::test_dollars",
    ),
    Mutation(
        "money passes through a float",
        "money",
        "return _plain(_EXACT.add(decimal.Decimal(left), decimal.Decimal(right)))",
        "return _plain(decimal.Decimal(float(left) + float(right)))",
        "tests/unit/test_buckets.py",
    ),
    Mutation(
        "dollars are cut at the last decimal",
        "money",
        "decimal.ROUND_HALF_EVEN",
        "decimal.ROUND_DOWN",
        "tests/unit/test_money.py",
    ),
    Mutation(
        "amounts keep their exponent",
        "money",
        'return format(decimal.Decimal(value), "f") if match["exponent"] else value',
        "return value",
        "tests/unit/test_records.py -k exponent",
    ),
    Mutation(
        "dollar columns lose their scale",
        "money",
        'spec |= {"precision": DECIMAL_PRECISION, "scale": DECIMAL_SCALE}',
        "pass",
        "tests/tap/test_schemas.py",
    ),
    Mutation(
        "the organization is not part of the key",
        "row_keys",
        "common = _encode([stream, *organization, starting_at, bucket_width])",
        "common = _encode([stream, starting_at, bucket_width])",
        "tests/tap/test_organizations.py -k share_no_key",
    ),
    Mutation(
        "the bucket is not part of the key",
        "row_keys",
        "common = _encode([stream, *organization, starting_at, bucket_width])",
        "common = _encode([stream, *organization])",
        "tests/unit/test_row_keys.py -k equal_only",
    ),
    Mutation(
        "the key depends on the order of dimensions",
        "row_keys",
        "sorted(dimensions)",
        "list(dimensions)",
        "tests/unit/test_row_keys.py -k order_of_dimensions",
    ),
    Mutation(
        "the currency is not part of the key of a model",
        "streams",
        'key_columns = (*CLAUDE_CODE_IDENTITY, "model", "estimated_cost_currency")',
        'key_columns = (*CLAUDE_CODE_IDENTITY, "model")',
        "tests/tap/test_claude_code.py -k currencies",
    ),
    Mutation(
        "a renamed person has another key",
        "streams",
        '            "actor_user_id",\n            "actor_service_account_id",\n',
        '            "actor_name",\n            "actor_service_account_id",\n',
        "tests/tap/test_analytics.py -k renamed_or_deleted",
    ),
    Mutation(
        "archived and default workspaces are missing",
        "streams",
        'list_params = {"include_archived": "true", "include_default": "true"}',
        "list_params = {}",
        "tests/tap/test_directory.py -k all_rows_are_read",
    ),
    Mutation(
        "unknown tools are lost",
        "reshape",
        '"other_tool_actions": others or None',
        '"other_tool_actions": None',
        "tests/unit/test_reshape.py",
    ),
    Mutation(
        "a model's row lacks is_remote",
        "reshape",
        '    "is_remote",\n',
        "",
        "tests/unit/test_reshape.py",
    ),
    Mutation(
        "a NUL reaches the target",
        "pages",
        "(?P<lost>u(?:[dD][89a-fA-F][0-9a-fA-F]{2}|0000))",
        "(?P<lost>u(?:[dD][89a-fA-F][0-9a-fA-F]{2}))",
        "tests/tap/test_surroundings.py -k characters",
    ),
    Mutation(
        "a body without data is an empty page",
        "pages",
        "    data: list[msgspec.Raw]\n",
        "    data: list[msgspec.Raw] = []\n",
        "tests/unit/test_pages.py -k not_a_page",
    ),
    Mutation(
        "a page without has_more is the last one",
        "pages",
        "return isinstance(self.next_page, str) if self.has_more is None else self.has_more",
        "return bool(self.has_more)",
        "tests/unit/test_pages.py -k has_more_decides",
    ),
    Mutation(
        "a number of the API is read as a float",
        "pages",
        "msgspec.json.Decoder(list[Row], float_hook=Decimal)",
        "msgspec.json.Decoder(list[Row])",
        "tests/tap/test_claude_code.py -k stays_exact",
    ),
    Mutation(
        "a run's times have no fixed width",
        "sync_context",
        "{started_at.microsecond // 1000:03}",
        "{started_at.microsecond // 1000}",
        "tests/unit/test_sync_context.py",
    ),
    # -- paging and fetching
    Mutation(
        "an empty page is the end",
        "pagination",
        "        if not page.has_next:\n",
        "        if not page.has_next or not page.items:\n",
        "tests/tap/test_pagination.py -k empty_page",
    ),
    Mutation(
        "a missing cursor is the end",
        "pagination",
        "if not isinstance(page.next_page, str) or not page.next_page:",
        "if not isinstance(page.next_page, str) or not page.next_page:\n            return None",
        "tests/tap/test_pagination.py -k contradicting",
    ),
    Mutation(
        "a repeated cursor is followed",
        "pagination",
        "if cursor in self._seen:",
        "if False:",
        "tests/unit/test_pagination.py -k repeated_cursor",
    ),
    Mutation(
        "a page without paging fields is the last one",
        "pagination",
        "if page.has_more is None and page.next_page is msgspec.UNSET:",
        "if False:",
        "tests/unit/test_pagination.py -k paging_fields",
    ),
    Mutation(
        "a list without next_page is complete",
        "pagination",
        'msg = "a page has no next_page; it may not be the last page"',
        "return None",
        "tests/unit/test_pagination.py -k paging_fields",
    ),
    Mutation(
        "a list without has_more is complete",
        "pagination",
        'msg = "a page has no has_more; it may not be the last page"',
        "return None",
        "tests/unit/test_pagination.py -k lists_with_ids",
    ),
    Mutation(
        "two large pages are held",
        "prefetch",
        "fetches_next = not marker and eager(item)",
        "fetches_next = not marker",
        "tests/unit/test_prefetch.py -k large",
    ),
    Mutation(
        "an expired cursor ends the report",
        "client",
        "lost_cursor=has_cursor and status in {HTTPStatus.BAD_REQUEST, HTTPStatus.GONE},",
        "lost_cursor=False,",
        "tests/tap/test_analytics.py -k lost_cursor",
    ),
    Mutation(
        "an expired cursor ends a list",
        "lists",
        "if not error.lost_cursor:",
        "if True:",
        "tests/tap/test_bucket_log.py -k repeated_rows",
    ),
    Mutation(
        "an empty filter is dropped",
        "client",
        "if item is not None",
        "if item",
        "tests/tap/test_reports.py -k empty_filter",
    ),
    Mutation(
        "a malformed page is not requested again",
        "client",
        "raise RetriableError(sanitize_for_log(str(error)), is_malformed=True) from error",
        "raise",
        "tests/tap/test_client.py -k transient",
    ),
    Mutation(
        "retry-after has no floor",
        "client",
        "wait = max(error.retry_after, wait) if attempt else error.retry_after",
        "wait = error.retry_after",
        "tests/unit/test_client.py -k followed_only_once",
    ),
    Mutation(
        "retry-after is ignored",
        "client",
        "if error.retry_after is not None:",
        "if False:",
        "tests/unit/test_client.py -k longer_retry_after",
    ),
    Mutation(
        "a slow request is not split",
        "client",
        "if error.is_slow and request.is_splittable:",
        "if False:",
        "tests/tap/test_client.py -k slow_request",
    ),
    Mutation(
        "a certificate error is retried",
        "client",
        'if "certificate verify failed" in message.lower():',
        "if False:",
        "tests/tap/test_client.py -k certificate",
    ),
    Mutation(
        "a wrong token ends the run",
        "client",
        'message += f"; check the setting {request.credential}"',
        "return APIUnavailableError(message)",
        "tests/tap/test_client.py -k expired_token",
    ),
    Mutation(
        "names are written to the disk",
        "client",
        "ResponseCache(on_disk=not config.pseudonymizes)",
        "ResponseCache(on_disk=True)",
        "tests/tap/test_surroundings.py -k reach_the_disk",
    ),
    Mutation(
        "credentials share the cached responses",
        "response_cache",
        "entry = self._entries.get(key)",
        'entry = self._entries.get((key[0], "admin_api_key"))',
        "tests/unit/test_response_cache.py -k stored_for_its_own",
    ),
    Mutation(
        "a run needs a disk",
        "response_cache",
        "with contextlib.suppress(OSError):  # a read-only file system, as in many containers",
        "with contextlib.suppress():",
        "tests/tap/test_surroundings.py -k without_a_writable_disk",
    ),
    Mutation(
        "a key is sent after a redirect",
        "session",
        "allow_redirects=False,",
        "allow_redirects=True,",
        "tests/unit/test_session.py -k redirect",
    ),
    Mutation(
        "a loopback server is reached through a proxy",
        "session",
        '{} if local else merged["proxies"]',
        'merged["proxies"]',
        "tests/unit/test_session.py -k proxies",
    ),
    Mutation(
        "a response has no time limit",
        "session",
        "if time.monotonic() > deadline:",
        "if False:",
        "tests/unit/test_session.py -k slow_response",
    ),
    Mutation(
        "the certificates of the environment are ignored",
        "session",
        '"verify": bundle}',
        '"verify": True}',
        "tests/tap/test_surroundings.py -k certificates_of_the_environment",
    ),
    Mutation(
        "the throttle is off",
        "throttle",
        "if not self._per_second:",
        "if True:",
        "tests/unit/test_throttle.py -k burst",
    ),
    Mutation(
        "requests do not wait for the throttle",
        "session",
        "        self._throttle.wait()\n",
        "",
        "tests/unit/test_session.py -k throttle",
    ),
    # -- refusals and failures
    Mutation(
        "the page of a firewall is a refusal",
        "errors",
        "return error.is_of_api and (",
        "return (",
        "tests/tap/test_client.py -k firewall",
    ),
    Mutation(
        "a 400 with a permission code is not a refusal",
        "errors",
        "or error.code in PERMISSION_CODES",
        "",
        "tests/tap/test_client.py -k 400_with_a_permission_code",
    ),
    Mutation(
        "x-should-retry is ignored",
        "errors",
        'if advice in {"true", "false"}:',
        "if False:",
        "tests/tap/test_client.py -k 'transient or permanent'",
    ),
    Mutation(
        "a failed stream ends the run",
        "stream",
        "            self._fail(kind, workspace_id, error)\n",
        "            raise\n",
        "tests/tap/test_client.py -k invalid_value_does_not_stop",
    ),
    Mutation(
        "a refusal fails a run that should skip it",
        "tap",
        "if failures or (fail and self.run.refusals):",
        "if failures or self.run.refusals:",
        "tests/tap/test_client.py -k refused_stream",
    ),
    Mutation(
        "a selected stream without a credential is not a failure",
        "tap",
        "[*self.run.failures.values(), *self._unreadable_streams()]",
        "[*self.run.failures.values()]",
        "tests/tap/test_organizations.py -k missing_credential",
    ),
    Mutation(
        "a refused parent ends the list",
        "lists",
        "if parent_id is None or error.status not in _PARENT_STATUSES:",
        "if True:",
        "tests/tap/test_directory.py -k one_refused_parent",
    ),
    Mutation(
        "a list that no parent has is an empty table",
        "lists",
        "if len(refusals) == len(parent_ids):",
        "if False:",
        "tests/tap/test_directory.py -k missing_for_all_parents",
    ),
    Mutation(
        "a table without a parent's rows is activated",
        "lists",
        "        else:\n            self._end_table(organization_type, row_count=len(keys))",
        "        self._end_table(organization_type, row_count=len(keys))",
        "tests/tap/test_directory.py -k one_refused_parent",
    ),
    Mutation(
        "a table is activated without a known organization",
        "lists",
        "self._complete >= set(self.organization_types) | known_kinds(self.stream_state)",
        "self._complete >= set(self.organization_types)",
        "tests/tap/test_organizations.py -k missing_credential",
    ),
    Mutation(
        "a table is activated before its first row",
        "stream",
        'first record, see `lists`."""\n        return False',
        'first record."""\n        return super().emit_activate_version_messages',
        "tests/tap/test_directory.py -k activated_after_its_last_row",
    ),
    Mutation(
        "ACTIVATE_VERSION cannot be turned off",
        "lists",
        "if self.run.config.emits_activate_version:",
        "if True:",
        "tests/tap/test_directory.py -k activated_after_its_last_row",
    ),
    # -- organizations and credentials
    Mutation(
        "the state of another organization is accepted",
        "organizations",
        "if before != api_id:",
        "if False:",
        "tests/tap/test_organizations.py -k state_of_another",
    ),
    Mutation(
        "the label does not replace a missing id",
        "organizations",
        'return self.label if len(self._kinds) == 1 else f"{self.label} ({kind})"',
        "return kind",
        "tests/tap/test_organizations.py -k label_or_the_type",
    ),
    Mutation(
        "the id of an organization changes under its table",
        "organizations",
        'pinned: str = known.setdefault("id", api_id or self._fallback(kind))',
        "pinned: str = api_id or self._fallback(kind)",
        "tests/tap/test_organizations.py -k keeps_the_id",
    ),
    Mutation(
        "an organization is read with the key of another",
        "credentials",
        "if name in configured and organization_type in {None, ORGANIZATION_TYPE[name]}:",
        "if name in configured:",
        "tests/tap/test_organizations.py -k person_in_two",
    ),
    Mutation(
        "the token is used instead of the Admin key",
        "credentials",
        'CONSOLE = ("admin_api_key", *OAUTH)',
        'CONSOLE = (*OAUTH, "admin_api_key")',
        "tests/tap/test_reports.py -k token_is_used",
    ),
    # -- settings and state
    Mutation(
        "the width of the buckets is not part of the definition",
        "config",
        '            "bucket_width": self.bucket_width,\n',
        "",
        "tests/unit/test_config.py -k definition",
    ),
    Mutation(
        "the order of dimensions changes the definition",
        "config",
        '"group_by": sorted(self.group_by)',
        '"group_by": list(self.group_by)',
        "tests/unit/test_config.py -k definition",
    ),
    Mutation(
        "legacy reports are always in the catalogue",
        "tap",
        "if stream.is_legacy and not config.legacy_reports:",
        "if False:",
        "tests/unit/test_validation.py -k legacy",
    ),
    Mutation(
        "an empty setting is a value",
        "config",
        ' if value not in (None, "")}',
        "}",
        "tests/unit/test_config.py -k its_value_or_its_default",
    ),
    Mutation(
        "a key is sent without encryption",
        "validation",
        'elif parts.scheme == "http" and not is_loopback(host):',
        "elif False:",
        "tests/unit/test_validation.py -k wrong_settings",
    ),
    Mutation(
        "more filter values than the API accepts are allowed",
        "validation",
        "if declared.max_filter_values is not None and values > declared.max_filter_values:",
        "if False:",
        "tests/unit/test_validation.py -k wrong_settings",
    ),
    Mutation(
        "a filter of an engagement report does not name its dimension",
        "report_kinds",
        'f"{name}:{value}" for name',
        "value for name",
        "tests/tap/test_engagement.py -k one_chain_of_requests",
    ),
    Mutation(
        "filters do not reach the API",
        "report_kinds",
        "            **self.filter_params(),\n",
        "",
        "tests/tap/test_reports.py -k filters_reach",
    ),
    Mutation(
        "the beta header of a dimension is not sent",
        "report_kinds",
        "self.beta_headers = (*self.beta_headers, *sorted(needed))",
        "self.beta_headers = self.beta_headers",
        "tests/tap/test_reports.py -k custom_reports_are_separate",
    ),
    Mutation(
        "a grouped engagement report is requested without its groups",
        "report_kinds",
        '"group_by[]": list(self.spec.group_by),',
        '"group_by[]": list(self.default_group_by),',
        "tests/tap/test_engagement.py -k count_in_each_of_their_teams",
    ),
    Mutation(
        "grouped artifacts end with a page that does not say so",
        "streams",
        "if not self.spec.group_by:",
        "if True:",
        "tests/tap/test_engagement.py -k grouped_artifacts",
    ),
    Mutation(
        "a skill has two rows while its currency is unknown",
        "report_kinds",
        '("currency",) if "amount" in self.columns.names',
        '("currency",) if "currency" in self.columns.names',
        "tests/tap/test_engagement.py -k key_of_a_skill",
    ),
    Mutation(
        "more dimensions than the API accepts are allowed",
        "validation",
        "if len(counted) > declared.max_group_by:",
        "if False:",
        "tests/unit/test_validation.py -k wrong_settings",
    ),
    Mutation(
        "a custom report takes the name of another stream",
        "validation",
        "if name.lower() in names:",
        "if False:",
        "tests/unit/test_validation.py -k wrong_settings",
    ),
    Mutation(
        "a file without a state is an empty state",
        "state_file",
        'or (content and "bookmarks" not in content)',
        "",
        "tests/unit/test_state_file.py -k other_content",
    ),
    # -- what is written, and what must not be
    Mutation(
        "a short write loses the rest",
        "writer",
        "rest = rest[taken or 0 :]",
        "rest = rest[len(rest) :]",
        "tests/tap/test_surroundings.py -k every_byte",
    ),
    Mutation(
        "a state follows lost records",
        "writer",
        "if self._is_broken:",
        "if False:",
        "tests/unit/test_writer.py -k no_state_follows",
    ),
    Mutation(
        "a state is written before its records",
        "writer",
        "self._block += self.format_message(message)",
        "self._block[:0] = self.format_message(message)",
        "tests/tap/test_writer.py -k state_follows",
    ),
    Mutation(
        "a column that the catalogue lacks is written",
        "stream",
        "if name not in catalogued\n            or (",
        "if name in catalogued\n            and (",
        "tests/tap/test_surroundings.py -k catalogue_lacks",
    ),
    Mutation(
        "unknown fields are left out without a warning",
        "stream",
        "for name in self.columns.unknown - self._named_fields\n",
        "for name in ()\n",
        "tests/tap/test_enterprise.py -k unknown_products",
    ),
    Mutation(
        "a run that a signal ended is a success",
        "tap",
        "sys.exit(128 + number)",
        "sys.exit(0)",
        "tests/tap/test_cli.py -k signals",
    ),
    Mutation(
        "secrets are logged",
        "redaction",
        'text = text.replace(secret, "***")',
        "pass",
        "tests/unit/test_redaction.py -k structured_logs",
    ),
    Mutation(
        "addresses are logged",
        "redaction",
        'return ADDRESS.sub("***", text) if self._hides_addresses else text',
        "return text",
        "tests/tap/test_client.py -k addresses",
    ),
    Mutation(
        "secrets are logged with a traceback",
        "redaction",
        "self.mask(_FORMATTER.formatException(record.exc_info))",
        "_FORMATTER.formatException(record.exc_info)",
        "tests/tap/test_client.py -k wherever_text_is_printed",
    ),
    Mutation(
        "escape sequences are logged",
        "redaction",
        'return re.sub(r"[^\\x20-\\x7e]", lambda match: ascii(match[0])[1:-1], line)[:300]',
        "return line[:300]",
        "tests/tap/test_client.py -k secrets_and_escapes",
    ),
    Mutation(
        "a person has two pseudonyms",
        "pseudonyms",
        'unicodedata.normalize("NFKC", text).strip().casefold()',
        "text",
        "tests/unit/test_pseudonyms.py -k same_person",
    ),
    Mutation(
        "addresses in other text are not replaced",
        "pseudonyms",
        'if "@" not in value:',
        "if True:",
        "tests/unit/test_pseudonyms.py -k other_text",
    ),
    Mutation(
        "dropped people keep their pseudonyms",
        "pseudonyms",
        "if self.drops:",
        "if False:",
        "tests/tap/test_pseudonyms.py -k name_or_an_address",
    ),
    Mutation(
        "ids are replaced by pseudonyms",
        "pseudonyms",
        "if value.__class__ in {str, dict, list} and not _ID.fullmatch(name):",
        "if value.__class__ in {str, dict, list}:",
        "tests/unit/test_pseudonyms.py -k ids",
    ),
    # -- the other commands
    Mutation(
        "a difference between reports is ignored",
        "reconcile",
        "if left != right:",
        "if False:",
        "tests/tap/test_reconcile.py -k difference_is_shown",
    ),
    Mutation(
        "a day that can still grow is a difference",
        "reconcile",
        "matches &= is_open or abs(left - right) <= limit",
        "matches &= abs(left - right) <= limit",
        "tests/tap/test_reconcile.py -k incomplete_days",
    ),
    Mutation(
        "credits are compared with charges",
        "reconcile",
        'if row.get("cost_type"):',
        "if True:",
        "tests/tap/test_reconcile.py -k everything_agrees",
    ),
    Mutation(
        "the views mix organizations",
        "views",
        "if name in table.columns & log.columns:",
        "if False:",
        "tests/e2e/test_targets.py -k the_views_are_those",
    ),
    Mutation(
        "the line of progress counts the requests of other streams",
        "progress",
        "{self.requests - self._requests_before:,.0f} requests",
        "{self.requests:,.0f} requests",
        "tests/unit/test_progress.py -k the_line",
    ),
    # -- feeds and workspaces
    Mutation(
        "sessions that ran at the last run are not read again",
        "feeds",
        "self._bookmark.newest(), self._open_since(), now",
        "self._bookmark.newest(), None, now",
        "tests/tap/test_feeds.py -k ran_at_the_last_run",
    ),
    Mutation(
        "a feed forgets an open session that was read before a kill",
        "feeds",
        "format_time(floor(self._oldest_open or read_until, SECOND))",
        "format_time(floor(read_until, SECOND))",
        "tests/tap/test_feeds.py -k 'ran_at_the_last_run or killed'",
    ),
    Mutation(
        "a feed accepts rows in another order",
        "feeds",
        "self._previous <= moment < window.end",
        "moment < window.end",
        "tests/tap/test_feeds.py -k another_order",
    ),
    Mutation(
        "the rows of a refused workspace are deleted",
        "lists",
        "        if refusals:\n",
        "        if refusals and self.parent:\n",
        "tests/tap/test_feeds.py -k refused",
    ),
    Mutation(
        "another workspace is read than the one that was asked for",
        "list_rows",
        "page.workspace_id not in {None, workspace_id}",
        "False",
        "tests/tap/test_feeds.py -k workspace_of_the_response",
    ),
    Mutation(
        "rows that several workspaces list are written twice",
        "lists",
        "if not is_shared or first == index:",
        "if True:",
        "tests/tap/test_official_sdk.py -k what_workspaces_have",
    ),
    Mutation(
        "a sign-in's organization replaces the activity's own",
        "list_rows",
        "if self.own_organization and record[self.own_organization]:",
        "if False:",
        "tests/tap/test_feeds.py -k names_its_organization",
    ),
    Mutation(
        "a Compliance key of the parent organization ends the run",
        "organizations",
        "place = kind, credential in COMPLIANCE",
        "place = kind, False",
        "tests/tap/test_feeds.py -k names_its_organization",
    ),
    Mutation(
        "IP addresses stay in the details of an activity",
        "pseudonyms",
        "return _IP.sub(lambda match: self._hidden_ip(match[0]), value)",
        "return value",
        "tests/unit/test_pseudonyms.py -k leads_to_a_person",
    ),
    # -- many organizations
    Mutation(
        "an organization is read with the credentials of the environment",
        "orchestrate/dags/claude_load.py",
        '**dict.fromkeys((*SECRETS, *FEDERATION), ""),',
        "",
        "tests/tap/test_orchestrate.py -k its_own_credentials",
    ),
    Mutation(
        "parallel runs share the run files",
        "orchestrate/dags/claude_load.py",
        'if entry.name != "run":',
        "if True:",
        "tests/tap/test_orchestrate.py -k all_but_the_run_files",
    ),
    Mutation(
        "ACTIVATE_VERSION marks the rows of others in a shared schema",
        "orchestrate/dags/claude_load.py",
        "if organization.shared:",
        "if False:",
        "tests/tap/test_orchestrate.py -k shared_schema",
    ),
    Mutation(
        "a list with a secret is accepted",
        "orchestrate/dags/claude_load.py",
        'if str(value).startswith("sk-ant-"):',
        "if False:",
        "tests/tap/test_orchestrate.py -k wrong_list",
    ),
    # -- the marts
    Mutation(
        "deleted rows of a report are cost",
        "transform/macros/claude_stage.sql",
        "    and (last_reads.read_at is null or last_reads.read_at <= versions.extracted_at)\n",
        "",
        "tests/e2e/test_dbt_package.py -k nothing_is_loaded",
    ),
    Mutation(
        "every version of a row counts",
        "transform/macros/claude_stage.sql",
        "where claude_version = 1",
        "where claude_version > 0",
        "tests/e2e/test_dbt_package.py -k nothing_is_loaded",
    ),
    Mutation(
        "money is rounded",
        "transform/macros/claude_types.sql",
        "'money': 'decimal(38, 18)'",
        "'money': 'decimal(38, 6)'",
        "tests/e2e/test_dbt_package.py -k one_credential",
    ),
    Mutation(
        "a weekend is forecast as any day",
        "transform/models/intermediate/int_claude__forecasts.sql",
        "coalesce(by_weekday.total / by_weekday.days, overall.mean)",
        "overall.mean",
        "tests/e2e/test_dbt_package.py -k nothing_is_loaded",
    ),
    # -- FOCUS
    Mutation(
        "the bill has the cost of both reports",
        "transform/models/intermediate/int_claude__focus_charges.sql",
        "    where cost_type is null\n        or first_day is null",
        "    where true\n        or first_day is null",
        "tests/e2e/test_focus.py -k quantities_times_prices",
    ),
    Mutation(
        "small quantities are lost",
        "transform/models/intermediate/int_claude__focus_charges.sql",
        "where quantity > 0",
        "where quantity > 5000",
        "tests/e2e/test_focus.py -k quantities_times_prices",
    ),
    Mutation(
        "a price is that of one token",
        "transform/models/marts/claude_focus.sql",
        "claude_unit_price('list_amount_usd', 'size', 'units')",
        "claude_unit_price('list_amount_usd', '10', 'units')",
        "tests/e2e/test_focus.py -k quantities_times_prices",
    ),
    Mutation(
        "every failure of the validator is expected",
        "focus/validator.py",
        "in self.failed.items() if rule not in EXCEPTIONS",
        "in self.failed.items() if False",
        "tests/unit/test_focus.py -k failures_are_noticed",
    ),
    Mutation(
        "the validator's totals are believed",
        "focus/validator.py",
        'or (counted["PASS"], counted["FAIL"], counted["SKIPPED"]) != (passed, failed, skipped)',
        "",
        "tests/unit/test_focus.py -k contradict_each_other",
    ),
    Mutation(
        "a validator that checks nothing has passed",
        "focus/validator.py",
        "if not passed:",
        "if False:",
        "tests/unit/test_focus.py -k checks_nothing",
    ),
    Mutation(
        "most rules of FOCUS are skipped",
        "focus/validator.py",
        """f"--applicability-criteria={','.join(CRITERIA)}",""",
        "",
        "tests/unit/test_focus.py -k runs_in_its_own_folder",
    ),
    # -- the spend report
    Mutation(
        "tables of the page round money",
        "claude_report/style.py",
        'fraction.rstrip("0").ljust(2, "0")',
        'fraction[:6].rstrip("0").ljust(2, "0")',
        "tests/report/test_style.py -k exact_money",
    ),
    Mutation(
        "a day that still grows is compared with a whole one",
        "claude_report/overview.py",
        "if growing is None or it.day < growing",
        "if True",
        "tests/report/test_sentences.py -k complete_days",
    ),
    Mutation(
        "the forecast is the sum of those that there are",
        "claude_report/overview.py",
        "(not it.is_final and it.through_day is None)",
        "False",
        "tests/report/test_sentences.py -k forecasts_add_up",
    ),
    Mutation(
        "a name can turn its sentence around",
        "claude_report/style.py",
        r"\N{FIRST STRONG ISOLATE}{",
        "{",
        "tests/report/test_style.py -k cannot_turn",
    ),
    Mutation(
        "names on the page are HTML",
        "claude_report/page.py",
        "        return escape(value)\n",
        "        return Markup(value)\n",
        "tests/report/test_page.py -k cells",
    ),
)


def copy_to(folder: Path) -> None:
    """Copy the files of the repository, without those that git ignores, to a folder."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


@contextlib.contextmanager
def broken(mutation: Mutation, folder: Path) -> Iterator[None]:
    """Break the rule in a copy. Raises ``ValueError`` if the text does not occur exactly once."""
    path = folder / mutation.file
    # Its time has a resolution of a second, so the compiled module could outlive its source.
    compiled = Path(importlib.util.cache_from_source(str(path)))
    source = path.read_text(encoding="utf-8")
    if (count := source.count(mutation.text)) != 1:
        msg = f"the text occurs {count} times in {mutation.file}"
        raise ValueError(msg)
    try:
        path.write_text(source.replace(mutation.text, mutation.replacement), encoding="utf-8")
        compiled.unlink(missing_ok=True)
        yield
    finally:
        path.write_text(source, encoding="utf-8")
        compiled.unlink(missing_ok=True)


def run_tests(tests: str, folder: Path) -> tuple[int | None, str]:
    """Return the exit code of pytest, None after `TIMEOUT` seconds, and its output."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [*command, *shlex.split(tests)],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
            env=os.environ | {"TESTS_DBT": str(ROOT / ".dbt"), "COLUMNS": "500"},
        )
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stdout


def verdict(code: int | None, output: str) -> str:
    """Return the result of the tests."""
    if code is None:
        return f"ERROR: the tests took more than {TIMEOUT} seconds"
    if code == TESTS_PASSED:
        return SURVIVED
    failed = _FAILED.search(output)
    if code == TESTS_FAILED and failed:
        return f"{CAUGHT} by {(failed[1] or failed[2]).partition('::')[2]}"
    return f"ERROR: pytest ended with {code}: {output.strip()[-300:]}"


def attempt(mutation: Mutation, folder: Path) -> str:
    """Return the result of the tests for a mutation."""
    try:
        with broken(mutation, folder):
            return verdict(*run_tests(mutation.tests, folder))
    except ValueError as error:
        return f"ERROR: {error}"


def check_baseline(chosen: Sequence[Mutation], folder: Path) -> int:
    """Run the tests on an unchanged copy; return how many selections fail."""
    bad = 0
    for tests in dict.fromkeys(mutation.tests for mutation in chosen):
        outcome = verdict(*run_tests(tests, folder)).replace(CAUGHT, "FAILED")
        bad += outcome != SURVIVED
        print(f"{tests:80} {outcome.replace(SURVIVED, 'passed')}", flush=True)
    return bad


def try_all(chosen: Sequence[Mutation], folder: Path) -> int:
    """Try mutations; return how many no test has caught."""
    bad = 0
    for mutation in chosen:
        outcome = attempt(mutation, folder)
        bad += not outcome.startswith(CAUGHT)
        print(f"{mutation.module:14} {mutation.name:58} {outcome}", flush=True)
    return bad


def main(arguments: list[str]) -> int:
    """Try the named mutations, or all; return the exit code."""
    is_baseline = "--baseline" in arguments
    names = [name for name in arguments if name != "--baseline"]
    if unknown := set(names) - {mutation.name for mutation in MUTATIONS}:
        print(f"no such mutation: {', '.join(sorted(unknown))}")
        return 2
    chosen = [mutation for mutation in MUTATIONS if not names or mutation.name in names]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutations-") as name:
        copy_to(Path(name))
        bad = (check_baseline if is_baseline else try_all)(chosen, Path(name))
    spent = time.monotonic() - begun
    print(f"{len(chosen)} mutations, {bad} without the expected result, {spent:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
