"""The sentences above the pictures say what the values say."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from claude_report import sentences, values
from claude_report.overview import Comparison, compare, total_forecast
from tests.each import each

D = Decimal
SEPTEMBER, AUGUST = dt.date(2026, 9, 1), dt.date(2026, 8, 1)


def plain(text: str) -> str:
    return text.replace("\u2068", "").replace("\u2069", "")


def model(name: str, **numbers: Any) -> values.Model:
    zeros = {
        name: D(0) if name.endswith("usd") else 0
        for name in values.Model.__dataclass_fields__
        if name != "model"
    }
    return values.Model(model=name, **(zeros | numbers))


def anomaly(**more: Any) -> values.Anomaly:
    fields: dict[str, Any] = {
        "day": dt.date(2026, 9, 9),
        "dimension": "product",
        "value_id": "claude_code",
        "value_name": None,
        "amount_usd": D("358.9"),
        "median_amount_usd": D("26.93"),
        "deviation_usd": D("331.97"),
        "times_median": D("13.324879"),
        "driver_model_name": "claude-opus",
        "driver_actor_name": "Jun Diaz",
    }
    return values.Anomaly(**(fields | more))


def bill_day(day: int, **more: Any) -> values.BillDay:
    amounts: dict[str, Any] = {
        "amount_usd": D(10),
        "credits_amount_usd": D(0),
        "cost_report_amount_usd": D(10),
        "difference_amount_usd": D(0),
        "growing": 0,
    }
    return values.BillDay(dt.date(2026, 9, day), **(amounts | more))


def month(**more: Any) -> values.Month:
    fields: dict[str, Any] = {
        "organization_type": "console",
        "organization_id": "1",
        "organization_name": "One",
        "amount_usd": D(10),
        "is_final": False,
        "through_day": dt.date(2026, 9, 17),
        "forecast_amount_usd": D(20),
        "forecast_low_amount_usd": D(15),
        "forecast_high_amount_usd": D(25),
        "budget_usd": None,
        "budget_state": None,
    }
    return values.Month(**(fields | more))


def member(price: Decimal | None) -> values.Member:
    return values.Member("user_1", "A", None, None, None, price)


def actor(kind: str | None, amount: int) -> values.Actor:
    name = kind and kind.partition("_")[0]
    return values.Actor(kind, name and f"{name}-{amount}", name, D(amount), D(amount))


def budget(state: str) -> values.Budget:
    return values.Budget("b", "1", "B", "variable", "product", D(1), D(1), D(1), None, state)


def limit(spent: int) -> values.Limit:
    return values.Limit("user_1", "A", "monthly", D(100), D(spent), D(spent) / 100)


@each(
    ("text", "expected"),
    [
        (
            sentences.headline({"chat": D(82), "claude_code": D(18)}, (D("131"), D(100))),
            "Chat is 82% of the cost; all cost is up 31% on last month's same days.",
        ),
        (sentences.headline({"chat": D(5)}, None), "Chat is all of the cost."),
        (
            sentences.headline({None: D(6), "chat": D(4)}, (D(9), D(10))),
            (
                "Cost without a known product is 60% of the cost;"
                " all cost is down 10% on last month's same days."
            ),
        ),
        (sentences.headline({}, None), "There is no cost yet."),
        (
            sentences.headline({"chat": D(1)}, (D(1), D(0))),
            "Chat is all of the cost; last month's same days had no cost.",
        ),
        (
            sentences.pace(SEPTEMBER, (D("11173.5"), D(8276), D(14071)), {"": "over"}),
            (
                "At the pace so far, September ends at about $11,174, between $8,276 and $14,071"
                " (estimate); the budget is exceeded."
            ),
        ),
        (
            sentences.pace(SEPTEMBER, (D(200), None, None), {"A": "over", "B": "within"}),
            (
                "At the pace so far, September ends at about $200 (estimate);"
                " the budget of A is exceeded."
            ),
        ),
        (
            sentences.pace(SEPTEMBER, None, {}),
            "There is no forecast yet: it needs a complete day.",
        ),
        (
            sentences.final_month(D("4.5"), {"A": "near", "B": "near", "C": "within"}),
            "The month is over: it cost $4.50; 2 of 3 budgets are nearly spent.",
        ),
        (
            sentences.share_of_first(
                "model", ["a", "b", "c", "d"], [D(4), D(3), D(2), D(1)], D(10)
            ),
            "a comes first with 40% of the cost; the first 3 of 4 have 90%.",
        ),
        (
            sentences.people([actor(None, 9), actor("api_actor", 6), actor("user_actor", 5)]),
            (
                "api (API key) comes first with 30% of the cost; one person has 25%,"
                " and keys, service accounts and others have the rest."
            ),
        ),
        (
            sentences.people([actor("user_actor", 3), actor("user_actor", 2), actor(None, 5)]),
            (
                "user comes first with 30% of the cost; 2 people have 50%,"
                " and keys, service accounts and others have the rest."
            ),
        ),
        (
            sentences.people([actor("api_actor", 3)]),
            (
                "api (API key) comes first with 100% of the cost;"
                " none of it is attributed to a person."
            ),
        ),
        (sentences.people([actor(None, 3)]), "It is not known who caused the cost."),
        (sentences.budgets([budget("near")]), "The only budget is nearly spent."),
        (
            sentences.budgets([budget("within"), budget("over"), budget("within")]),
            "Of 3 budgets: 1 exceeded, 2 kept.",
        ),
        (sentences.share_of_first("key", ["a"], [D(4)], D(4)), "a is the only key with cost."),
        (sentences.share_of_first("key", [], [], D(0)), "No key has cost."),
        (
            sentences.cache(
                [
                    model(
                        "a",
                        total_tokens=100,
                        cache_read_input_tokens=60,
                        output_tokens=20,
                        cache_savings_usd=D(-3),
                    )
                ]
            ),
            "75% of the input tokens came from the cache, which cost about $3.00 (estimate).",
        ),
        (
            sentences.prices(
                [
                    model("a", output_tokens=2_000_000, output_tokens_amount_usd=D(30)),
                    model("b", output_tokens=1_000_000, output_tokens_amount_usd=D(4)),
                ]
            ),
            "A million output tokens cost from $4.00 (b) to $15.00 (a), as they were really paid.",
        ),
        (
            sentences.seats([member(D(30)), member(D("60.5"))], 9),
            (
                "2 of 9 members have not used Claude for 30 days; their seats cost $90.50 a month,"
                " if each has one."
            ),
        ),
        (
            sentences.seats([member(None)], 9),
            "1 of 9 members has not used Claude for 30 days.",
        ),
        (
            sentences.limits([limit(100), limit(90)]),
            "2 people are near a limit; 1 has spent all of it.",
        ),
        (
            sentences.anomalies([anomaly()]),
            (
                "One cost stands out: Claude Code on 9 Sep cost $358.90, 13.3 times the median of"
                " its weekday, driven by claude-opus of Jun Diaz."
            ),
        ),
        (
            sentences.anomalies(
                [
                    anomaly(
                        dimension="workspace",
                        value_name="W",
                        times_median=None,
                        driver_model_name=None,
                    )
                ]
                * 2
            ),
            "2 costs stand out; the largest: W on 9 Sep cost $358.90.",
        ),
        (
            sentences.bill(
                [
                    bill_day(1),
                    bill_day(2, credits_amount_usd=D("-1.5")),
                    bill_day(3, growing=1, difference_amount_usd=D(7)),
                ]
            ),
            (
                "Bill and cost agree to the last digit on all 2 complete days;"
                " credits take $1.50 off the bill."
            ),
        ),
        (
            sentences.bill([bill_day(1), bill_day(2, difference_amount_usd=D("-0.25"))]),
            (
                "Bill and cost differ on 1 of 2 complete days, most on 2 Sep 2026 by −$0.25;"
                " there are no credits."
            ),
        ),
    ],
)
def test_sentences(text: str, expected: str) -> None:
    assert plain(text) == expected


def days(first: dt.date, number: int, growing: int = 0) -> list[values.Day]:
    """Return days that cost 1, 2, 3, ...; the last ones are not complete."""
    return [
        values.Day(
            first + dt.timedelta(index), D(index + 1), D(0), 0, 0, int(index >= number - growing), 0
        )
        for index in range(number)
    ]


def organization(first_day: dt.date) -> values.Organization:
    now = dt.datetime(2026, 9, 18, tzinfo=dt.UTC)
    return values.Organization("console", "1", "One", first_day, SEPTEMBER, None, now)


def test_complete_days_are_compared_with_the_same_days() -> None:
    found = compare(
        days(SEPTEMBER, 18, growing=2),
        days(AUGUST, 31),
        [month()],
        [organization(AUGUST)],
        SEPTEMBER,
    )
    total = D(sum(range(1, 17)))
    assert found == Comparison(dt.date(2026, 9, 16), total, dt.date(2026, 8, 16), total)


def test_a_month_that_is_over_is_compared_with_a_whole_month() -> None:
    found = compare(
        days(SEPTEMBER, 30),
        days(AUGUST, 31),
        [month(is_final=True)],
        [organization(AUGUST)],
        SEPTEMBER,
    )
    assert found is not None
    assert found.before_amount_usd == sum(range(1, 32))
    assert found.amount_usd == sum(range(1, 31))


def test_a_longer_month_is_compared_with_the_last_day_of_a_shorter_one() -> None:
    march, february = dt.date(2026, 3, 1), dt.date(2026, 2, 1)
    found = compare(
        days(march, 31, growing=1), days(february, 28), [month()], [organization(february)], march
    )
    assert found is not None
    assert found.before_through == dt.date(2026, 2, 28)


@each(
    ("before", "first_day", "growing"),
    [
        (days(AUGUST, 31), dt.date(2026, 8, 2), 0),  # last month is not loaded in full
        ([], AUGUST, 0),
        (days(AUGUST, 31), AUGUST, 3),  # no complete day
    ],
)
def test_without_complete_data_there_is_no_comparison(
    before: list[values.Day], first_day: dt.date, growing: int
) -> None:
    assert (
        compare(
            days(SEPTEMBER, 3, growing), before, [month()], [organization(first_day)], SEPTEMBER
        )
        is None
    )


@each(
    ("months", "expected"),
    [
        ([month(), month()], (D(40), D(30), D(50))),
        ([month(), month(forecast_low_amount_usd=None)], (D(40), None, None)),
        ([month(), month(through_day=None)], None),
        ([month(forecast_amount_usd=None)], None),
        ([month(is_final=True, through_day=None)], (D(20), D(15), D(25))),
    ],
)
def test_forecasts_add_up_if_each_organization_has_one(
    months: list[values.Month], expected: Any
) -> None:
    assert total_forecast(months) == expected
