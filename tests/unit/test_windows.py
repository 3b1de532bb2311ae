"""Windows cover a range exactly, for any now, bookmark, width and lookback."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_claude.windows import (
    WIDTHS,
    Window,
    ceil,
    earliest_readable,
    floor,
    format_time,
    parse_time,
    read_range,
    split,
)

moments = st.datetimes(
    min_value=dt.datetime(2020, 1, 1),  # noqa: DTZ001
    max_value=dt.datetime(2035, 1, 1),  # noqa: DTZ001
    timezones=st.just(dt.UTC),
)
widths = st.sampled_from(list(WIDTHS.values()))
HOUR, DAY = WIDTHS["1h"], WIDTHS["1d"]


def at(text: str) -> dt.datetime:
    return parse_time(text)


@given(moments, widths)
def test_floor_and_ceil_enclose_the_moment(moment: dt.datetime, width: dt.timedelta) -> None:
    low, high = floor(moment, width), ceil(moment, width)
    assert low <= moment <= high
    assert high - low in {width, dt.timedelta(0)}
    assert (high == low) == (moment == low)
    assert low.second == low.microsecond == 0
    if width == DAY:
        assert low.hour == low.minute == 0


@given(moments, widths, st.integers(1, 2000), st.integers(1, 1500))
def test_the_parts_of_a_window_cover_it_exactly(
    start: dt.datetime, width: dt.timedelta, length: int, most: int
) -> None:
    start = floor(start, width)
    steps = list(split(Window(start, start + length * width), width, most))
    assert steps[0].start == start
    assert steps[-1].end == start + length * width
    assert all(before.end == after.start for before, after in itertools.pairwise(steps))
    assert all(dt.timedelta(0) < step.end - step.start <= most * width for step in steps)
    assert all(step.end - step.start == most * width for step in steps[:-1])
    assert len(steps) == -(-length // most)


@given(
    now=moments,
    width=widths,
    bookmark=st.none() | moments,
    lookback=st.integers(0, 400).map(lambda days: dt.timedelta(days=days)),
    start_date=st.none() | moments,
    end_date=st.none() | moments,
)
def test_the_range_is_aligned_and_complete(
    now: dt.datetime,
    width: dt.timedelta,
    bookmark: dt.datetime | None,
    lookback: dt.timedelta,
    start_date: dt.datetime | None,
    end_date: dt.datetime | None,
) -> None:
    window = read_range(
        now=now,
        width=width,
        bookmark=bookmark,
        lookback=lookback,
        start_date=start_date,
        end_date=end_date,
    )
    end = min(now, end_date or now)
    if bookmark is None:
        start = start_date or now - dt.timedelta(days=30)
    else:
        start = max(start_date or dt.datetime.min.replace(tzinfo=dt.UTC), bookmark - lookback)
    if window is None:
        assert ceil(end, width) <= floor(start, width)
        return
    assert window.start < window.end
    assert floor(window.start, width) == window.start
    assert floor(window.end, width) == window.end
    assert window.start <= start < window.start + width
    assert window.end - width < end <= window.end


@pytest.mark.parametrize(
    ("bookmark", "lookback", "expected"),
    [
        ("2026-11-20", 0, "2026-11-20"),
        ("2026-11-20", 7, "2026-11-13"),
        ("2026-11-20", 3000, "2026-01-01"),
    ],
    ids=["the bookmark's bucket again", "lookback", "not before start_date"],
)
def test_lookback(bookmark: str, lookback: int, expected: str) -> None:
    window = read_range(
        now=at("2026-11-20T13:00:00Z"),
        width=DAY,
        bookmark=at(bookmark),
        lookback=dt.timedelta(days=lookback),
        start_date=at("2026-01-01"),
    )
    assert window == Window(at(expected), at("2026-11-21"))


def test_an_explicit_start_date_after_the_bookmark_wins() -> None:
    window = read_range(
        now=at("2026-11-20"), width=DAY, bookmark=at("2026-02-01"), start_date=at("2026-06-01")
    )
    assert window is not None
    assert window.start == at("2026-06-01")


def test_without_start_date_reading_starts_at_the_bookmark() -> None:
    window = read_range(now=at("2026-11-20"), width=DAY, bookmark=at("2026-02-01"))
    assert window is not None
    assert window.start == at("2026-02-01")


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-06-15T13:00:00Z", "2026-01-01"),
        ("2027-06-15T13:00:00Z", "2026-06-16"),
        ("2027-06-15T00:00:01Z", "2026-06-16"),
        ("2027-06-14T23:30:00Z", "2026-06-16"),
    ],
    ids=["first day of the API", "a year back", "just after midnight", "midnight before sending"],
)
def test_the_earliest_readable_time(now: str, expected: str) -> None:
    reach = earliest_readable(at(now), at("2026-01-01"), dt.timedelta(days=365))
    assert reach == at(expected)
    assert earliest_readable(at(now), None, None) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-01", "2026-01-01T00:00:00Z"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00Z"),
        ("2026-01-01T02:30:00+02:30", "2026-01-01T00:00:00Z"),
        ("2026-01-01T00:00:00", "2026-01-01T00:00:00Z"),
        ("2026-01-01T00:00:00.250000Z", "2026-01-01T00:00:00.250000Z"),
    ],
)
def test_times_are_printed_in_one_format(text: str, expected: str) -> None:
    assert format_time(parse_time(text)) == expected


@given(moments)
def test_printed_times_sort_like_times(moment: dt.datetime) -> None:
    moment = floor(moment, HOUR)
    later = moment + HOUR
    assert format_time(moment) < format_time(later)
    assert parse_time(format_time(moment)) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "0001-01-01T00:00:00+05:00"])
def test_text_that_is_not_a_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_time(text)
