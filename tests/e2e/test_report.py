"""The spend report: its numbers are those of the marts, and nothing in the data breaks it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg
import pytest

from tests.conftest import RECENT
from tests.e2e.spend_marts import CUSTOMERS, HOSTILE, READ, copy
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from demo.postgres import Server
    from tests.forks import Done

    Report = Callable[..., Done]

pytestmark = [pytest.mark.long, pytest.mark.measured]

MONTH = f"{RECENT:%Y-%m-01}"
IN_MONTH = f"day >= date '{MONTH}' and day < date '{MONTH}' + interval 1 month"
OF_MONTH = f"month = date '{MONTH}'"


@dataclass
class Page:
    """What a reader finds on the page."""

    html: str
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    """Cells by the id of their table: exact values of numbers, text of others."""
    shown: list[tuple[str, str]] = field(default_factory=list)
    """Exact value and shown text of all numbers in tables."""
    claims: dict[str, str] = field(default_factory=dict)
    """The sentences by the id of their chapter, and the titles of figures by their id."""
    cards: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    """Text in pictures."""
    tags: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)


class _Parser(HTMLParser):
    def __init__(self, page: Page) -> None:
        super().__init__()
        self.page = page
        self.stack: list[tuple[str, dict[str, str | None]]] = []
        self.table: list[list[str]] = []
        self.section = "overview"
        self.text = ""
        self.value: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.page.tags.add(tag)
        self.page.attributes |= set(found)
        if tag == "section":
            self.section = found["id"] or ""
        if tag == "table":
            self.table = self.page.tables.setdefault(found["id"] or "", [])
        if tag == "tr":
            self.table.append([])
        if tag == "data":
            self.value = found["value"]
        if tag in {"td", "th", "data", "figcaption", "text", "li"} or found.get("class") == "claim":
            self.text = ""
        if tag not in {"meta", "br"}:
            self.stack.append((tag, found))

    def handle_endtag(self, tag: str) -> None:
        opened, attributes = self.stack.pop()
        assert opened == tag
        text = self.text.replace("\u2068", "").replace("\u2069", "").strip()
        if tag in {"td", "th"}:
            if text == "–" and attributes.get("class") == "text":
                text = ""
            self.table[-1].append(self.value if self.value is not None else text)
            self.value = None
        if tag == "data":
            self.page.shown.append((self.value or "", text))
        if attributes.get("class") == "claim":
            self.page.claims[self.section] = text
        if tag == "figcaption":
            self.page.claims[f"{self.section}/{len(self.page.claims)}"] = text
        if tag == "text":
            self.page.labels.append(text)
        if tag == "li" and self.section == "overview" and self.stack[-1][1].get("class") == "cards":
            self.page.cards.append(" ".join(text.split()))

    def handle_data(self, data: str) -> None:
        self.text += data


def parse(html: str) -> Page:
    page = Page(html)
    parser = _Parser(page)
    parser.feed(html)
    parser.close()
    assert not parser.stack
    return page


@pytest.fixture(scope="module")
def page(
    report: Report, spend_marts: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Page]:
    """Make the page of a customer, once."""
    made: dict[tuple[str, ...], Page] = {}

    def make(schema: str, *options: str) -> Page:
        if (schema, *options) not in made:
            out = tmp_path_factory.mktemp("page") / "claude.html"
            done = report(f"duckdb:///{spend_marts}", out, "--schema", schema, *options)
            assert done.returncode == 0, done.stderr
            made[(schema, *options)] = parse(out.read_text())
        return made[(schema, *options)]

    return make


# -- each number is in the marts

TOKENS = (
    "uncached_input_tokens",
    "cache_read_input_tokens",
    "cache_creation_ephemeral_5m_input_tokens",
    "cache_creation_ephemeral_1h_input_tokens",
    "output_tokens",
)
PRICES = ", ".join(
    f"cast(sum({kind}_amount_usd) as decimal(38, 12)) * 1000000 / nullif(sum({kind}), 0)"
    for kind in TOKENS
)
COST = "sum(amount_usd)"
BOTH = "sum(amount_usd), sum(list_amount_usd)"
SHARE = f"sum(amount_usd) / (select sum(amount_usd) from claude_cost where {IN_MONTH})"
CODE_SUMS = (
    "sum(amount_usd), sum(estimated_cost_usd), sum(num_sessions), sum(lines_of_code_added),"
    " sum(commits_by_claude_code), sum(pull_requests_by_claude_code)"
)
# The numbers of each table, in the order of the page. Where a table ends with a total, the last
# query has it.
TABLES = {
    "days-table-1": (
        (
            f"select {COST}, {SHARE} from claude_cost where {IN_MONTH} group by product"
            f" order by {COST} desc"
        ),
        "",
    ),
    "pace-table-1": (
        # Each day of the longer month: the sum so far, and that of last month.
        f"""
        select number,
            (select sum(amount_usd) from claude_daily where {OF_MONTH} and day(day) <= number
                having number <= (select max(day(day)) from claude_daily where {OF_MONTH})),
            (select sum(amount_usd) from claude_daily
                where month = date '{MONTH}' - interval 1 month and day(day) <= number)
        from range(1, 32) as numbers(number)
        order by number
        """,
        "",
    ),
    "organizations-table-1": (
        (
            "select amount_usd, forecast_amount_usd, forecast_low_amount_usd,"
            f" forecast_high_amount_usd, budget_usd from claude_forecast where {OF_MONTH}"
            " order by amount_usd desc"
        ),
        "",
    ),
    "people-table-1": (
        (
            f"select {BOTH}, {SHARE} from claude_cost where {IN_MONTH} group by"
            " actor_type, actor_id"
            f" order by {COST} desc"
        ),
        f"select {BOTH}, 1 from claude_cost where {IN_MONTH}",
    ),
    "teams-table-1": (
        (
            "select amount_usd, if(team_id is null, null, members),"
            f" if(team_id is null, null, active_members) from claude_teams where {OF_MONTH}"
            " and amount_usd > 0 and organization_id in"
            " (select organization_id from claude_teams where team_id is not null)"
            " order by amount_usd desc"
        ),
        "",
    ),
    "keys-table-1": (
        (
            f"select {BOTH} from claude_cost where {IN_MONTH} and api_key_id is not null"
            f" group by api_key_id order by {COST} desc"
        ),
        f"select {BOTH} from claude_cost where {IN_MONTH} and api_key_id is not null",
    ),
    "workspaces-table-1": (
        (
            "select any_value(members), any_value(active_api_keys), sum(cost.amount_usd),"
            " sum(cost.list_amount_usd) from claude_cost as cost"
            f" join claude_workspaces using (workspace_id) where {IN_MONTH}"
            " group by workspace_id order by 3 desc"
        ),
        f"select {BOTH} from claude_cost where {IN_MONTH} and workspace_id is not null",
    ),
    "models-table-1": (
        (
            f"select {BOTH}, {SHARE}, sum(total_tokens) from claude_models where {OF_MONTH}"
            f" group by model order by {COST} desc"
        ),
        f"select {BOTH}, 1, sum(total_tokens) from claude_models where {OF_MONTH}",
    ),
    "prices-table-1": (
        (
            f"select {PRICES} from claude_models where {OF_MONTH} and model is not null"
            f" group by model having sum(total_tokens) > 0 order by {COST} desc"
        ),
        "",
    ),
    "prices-table-2": (
        (
            "select batch_token_share, long_context_token_share, fast_token_share, us_token_share"
            f" from claude_models where {OF_MONTH} and coalesce(batch_token_share,"
            " long_context_token_share, fast_token_share, us_token_share) is not null"
            " order by model, organization_id"
        ),
        "",
    ),
    "cache-table-1": (
        (
            "select sum(cache_read_input_tokens)"
            " / sum(total_tokens - output_tokens)::decimal(38, 12),"
            " sum(cache_read_input_tokens), sum(total_tokens - output_tokens),"
            " sum(cache_savings_usd)"
            f" from claude_models where {OF_MONTH} and model is not null group by model"
            f" having sum(total_tokens - output_tokens) > 0 order by {COST} desc"
        ),
        (
            "select sum(cache_read_input_tokens), sum(total_tokens - output_tokens),"
            f" sum(cache_savings_usd) from claude_models where {OF_MONTH} and model is not null"
        ),
    ),
    "code-table-2": (
        (
            f"select {CODE_SUMS}, sum(tool_actions_accepted)::decimal(38, 12)"
            " / nullif(sum(tool_actions_accepted + tool_actions_rejected), 0)"
            f" from claude_code_people where {IN_MONTH} group by person_type, person_id"
            f" order by {COST} desc, person_type, person_id"
        ),
        f"select {CODE_SUMS} from claude_code_people where {IN_MONTH}",
    ),
    "budgets-table-1": (
        (
            "select budget_usd, amount_usd, forecast_amount_usd from claude_budgets"
            f" where {OF_MONTH} and source <> 'effective_spend_limit'"
            " order by spent_share desc, budget_id, organization_id"
        ),
        "",
    ),
    "limits-table-1": (
        (
            "select limit_usd, limit_spent_usd, limit_spent_share from claude_people"
            " where is_near_limit order by limit_spent_share desc, person_id"
        ),
        "",
    ),
    "anomalies-table-1": (
        (
            f"select amount_usd, median_amount_usd, times_median from claude_anomalies"
            f" where {IN_MONTH} order by abs(deviation_usd) desc, day, value_id"
        ),
        "",
    ),
    "bill-table-1": (
        (
            "select sum(amount_usd), sum(credits_amount_usd), sum(cost_report_amount_usd),"
            f" sum(difference_amount_usd) from claude_reconciliation where {IN_MONTH}"
            " group by day order by day"
        ),
        (
            "select sum(amount_usd), sum(credits_amount_usd), sum(cost_report_amount_usd),"
            f" sum(difference_amount_usd) from claude_reconciliation where {IN_MONTH}"
        ),
    ),
}
ELSEWHERE = {"days-table-2", "code-table-1", "seats-table-1"}
"""Tables with a test of their own."""


def numbers(row: Sequence[str], width: int) -> list[Decimal | None]:
    """Return the numbers of a row: of its last columns, or of those that have a number."""
    cells = [None if it == "–" else it for it in row]
    found = [
        None if it is None else Decimal(it)
        for it in cells
        if it is None or re.fullmatch(r"-?\d+(\.\d+)?(E-\d+)?", it)
    ]
    return found[len(found) - width :]


def same(found: Decimal | None, expected: Any) -> bool:
    """Compare exactly, but for ratios, which the database divides with fewer digits."""
    if found is None or expected is None:
        return found is expected
    return abs(found - Decimal(str(expected))) <= abs(found) * Decimal("1e-9") * (
        isinstance(expected, float) or found.as_tuple().exponent < -18  # type: ignore[operator]
    )


def connect(spend_marts: Path, schema: str) -> duckdb.DuckDBPyConnection:
    database = duckdb.connect(str(spend_marts), read_only=True)
    database.execute(f"use {schema}")
    return database


@each("schema", list(CUSTOMERS))
def test_each_number_in_a_table_is_in_the_marts(
    page: Callable[..., Page], spend_marts: Path, schema: str
) -> None:
    found = page(schema)
    assert set(found.tables) <= {*TABLES, *ELSEWHERE}
    with connect(spend_marts, schema) as database:
        for table, rows in found.tables.items():
            if table in ELSEWHERE:
                continue
            query, total = TABLES[table]
            expected = database.execute(query).fetchall()
            if table == "pace-table-1":
                expected = [it for it in expected if it[1] is not None or it[2] is not None]
                if len(rows[0]) == 2:
                    expected = [it[:2] for it in expected if it[1] is not None]
            if total:
                expected.append(database.execute(total).fetchall()[0])
            assert len(rows) - 1 == len(expected), table
            for row, values in zip(rows[1:], expected, strict=True):
                for shown, value in zip(numbers(row, len(values)), values, strict=True):
                    assert same(shown, value), (table, row, values)


def test_days_products_payers_and_seats_are_in_the_marts(
    page: Callable[..., Page], spend_marts: Path
) -> None:
    tables = page("mixed").tables
    with connect(spend_marts, "mixed") as database:
        products = dict(
            database.execute(
                f"select product, {COST} from claude_cost where {IN_MONTH} group by 1"
            ).fetchall()
        )
        own = [it[0] for it in tables["days-table-1"][1:6]]
        labels = {
            " ".join(word.capitalize() for word in (key or "Not known").split("_")): key
            for key in products
        }
        labels = {
            name.replace("Api", "API").replace(" known", " known"): key
            for name, key in labels.items()
        }
        labels["Not known"] = None
        by_day = database.execute(
            f"select day, product, {COST} from claude_cost where {IN_MONTH} group by all"
        ).fetchall()
        names = [labels[it] for it in own]
        for row in tables["days-table-2"][1:-1]:
            cells = numbers(row, 7)
            of_day = {
                product: amount
                for day, product, amount in by_day
                if f"{day.day} {day:%b %Y}" == row[0]
            }
            rest = sum(it for key, it in of_day.items() if key not in names)
            assert cells == [
                sum(of_day.values()),
                *(of_day.get(it) for it in names),
                rest or None,
            ], row
        totals = numbers(tables["days-table-2"][-1], 7)
        assert totals[:6] == [sum(products.values()), *(products[it] for it in names)]

        payers = database.execute(
            f"""
            select sum(amount_usd), sum(commits_by_claude_code), sum(pull_requests_by_claude_code),
                sum(api_estimated_cost_usd), sum(api_commits), sum(api_pull_requests),
                sum(subscription_estimated_cost_usd), sum(subscription_commits),
                sum(subscription_pull_requests)
            from claude_code_people where {IN_MONTH}
            """
        ).fetchall()[0]
        shown = [numbers(row, 5) for row in tables["code-table-1"][1:]]
        for cells, start in zip(shown, (0, 3, 6), strict=True):
            amount, commits, pulls = payers[start : start + 3]
            assert cells[:3] == [amount, commits, pulls]
            for ratio, number in zip(cells[3:], (commits, pulls), strict=True):
                assert ratio is not None
                assert abs(ratio * number - amount) < Decimal("1e-20")

        seats = database.execute(
            "select sum(seat_price_usd), count(*) from claude_people where is_member_without_use"
        ).fetchall()[0]
        assert len(tables["seats-table-1"]) - 2 == seats[1]
        assert numbers(tables["seats-table-1"][-1], 1) == [seats[0]]


@each("schema", list(CUSTOMERS))
def test_what_is_shown_is_the_exact_number_or_its_rounding(
    page: Callable[..., Page], schema: str
) -> None:
    found = page(schema)
    assert found.shown
    for exact, text in found.shown:
        digits = text.replace(",", "").replace("−", "-")
        value = Decimal(exact)
        if digits.startswith("<"):
            assert 0 < value < Decimal("0.0005")
            continue
        if digits.endswith(("%", "times")):
            digits = digits.removesuffix("times").strip()
            value = value * 100 if digits.endswith("%") else value
            digits = digits.removesuffix("%")
        elif "." in digits and len(digits.partition(".")[2]) != 4:
            assert Decimal(digits) == value  # money: all digits
        assert Decimal(digits) == value.quantize(Decimal(digits), ROUND_HALF_UP), (exact, text)


def rounded(number: Any, decimals: int = 2) -> str:
    return f"{Decimal(number).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP):,f}"


def percent(share: Any) -> str:
    return f"{rounded(Decimal(share) * 100, 0 if abs(share) >= Decimal('0.0995') else 1)}%"


def test_claims_and_cards_say_what_the_marts_have(
    page: Callable[..., Page], spend_marts: Path
) -> None:
    """Each number in a sentence, from a query of its own."""
    found = page("mixed")
    with connect(spend_marts, "mixed") as database:

        def one(query: str) -> Any:
            return database.execute(query).fetchall()[0]

        total, listed = one(f"select {BOTH} from claude_daily where {OF_MONTH}")
        last, now, before = one(
            "select day, sum(month_to_date_amount_usd), sum(last_month_to_date_amount_usd)"
            f" from claude_daily where {OF_MONTH} group by day having bool_and(is_complete)"
            " order by day desc limit 1"
        )
        forecast, low, high = one(
            "select sum(forecast_amount_usd), sum(forecast_low_amount_usd),"
            f" sum(forecast_high_amount_usd) from claude_forecast where {OF_MONTH}"
        )
        product, most = one(
            f"select product, {COST} from claude_cost where {IN_MONTH} group by 1 order by 2 desc"
        )
        spent, budget = one(
            f"select amount_usd, budget_usd from claude_forecast where {OF_MONTH}"
            " and budget_usd is not null"
        )
        change = (now - before) / before
        word = "up" if change > 0 else "down"
        assert found.claims["overview"] == (
            f"{product.replace('_', ' ').title()} is {percent(most / total)} of the cost; all cost"
            f" is {word} {percent(abs(change))} on last month's same days."
        )
        assert found.cards == [
            f"Cost of {RECENT:%B} so far ${rounded(total)} ${rounded(listed)} at list prices",
            (
                f"Forecast for {RECENT:%B} (estimate) ${rounded(forecast, 0)}"
                f" between ${rounded(low, 0)} and ${rounded(high, 0)}"
            ),
            (
                f"Against last month's same days {word.capitalize()} {percent(abs(change))}"
                f" ${rounded(now)} until {last.day} {last:%b}, ${rounded(before)} until"
                f" {last.day} {last.replace(month=last.month - 1):%b}"
            ),
            (
                f"Budget of {RECENT:%B} Exceeded ${rounded(spent)} of ${rounded(budget)} spent"
                " by Mixed (enterprise)"
            ),
        ]
        captions = " ".join(found.claims.values())
        assert (
            f"ends at about ${rounded(forecast, 0)}, between ${rounded(low, 0)} and"
            f" ${rounded(high, 0)} (estimate); the budget of Mixed (enterprise) is exceeded."
        ) in captions

        person, people, persons = one(
            f"select max(spent), count(*), sum(spent) from (select {COST} as spent from claude_cost"
            f" where {IN_MONTH} and actor_type = 'user_actor' group by actor_id)"
        )
        assert f"comes first with {percent(person / total)} of the cost" in found.claims["people"]
        assert f"{people} people have {percent(persons / total)}" in (found.claims["people"])
        (team,) = one(
            f"select max(amount_usd) from claude_teams where {OF_MONTH} and team_id is not null"
        )
        assert f"has the most cost, ${rounded(team)}" in found.claims["teams"]
        read, inputs, saved = one(
            "select sum(cache_read_input_tokens), sum(total_tokens - output_tokens),"
            f" sum(cache_savings_usd) from claude_models where {OF_MONTH}"
        )
        assert found.claims["cache"] == (
            f"{percent(Decimal(read) / Decimal(inputs))} of the input tokens came from the cache,"
            f" which saved about ${rounded(saved, 0)} (estimate)."
        )
        billed, commits, pulls = one(
            "select sum(amount_usd), sum(commits_by_claude_code),"
            f" sum(pull_requests_by_claude_code) from claude_code_people where {IN_MONTH}"
        )
        assert found.claims["code"] == (
            f"Claude Code cost ${rounded(billed)}: ${rounded(billed / Decimal(commits))} per commit"
            f" and ${rounded(billed / Decimal(pulls))} per pull request."
        )
        (without, price), (members,) = (
            one(
                "select count(*), sum(seat_price_usd) from claude_people"
                " where is_member_without_use"
            ),
            one(
                "select count(*) from claude_people where is_member"
                " and organization_type = 'enterprise'"
            ),
        )
        assert found.claims["seats"] == (
            f"{without} of {members} members have not used Claude for 30 days; their seats cost"
            f" ${rounded(price)} a month, if each has one."
        )
        complete, credited = one(
            "select count(distinct day) filter (is_complete), sum(credits_amount_usd)"
            f" from claude_reconciliation where {IN_MONTH}"
        )
        assert found.claims["bill"] == (
            f"Bill and cost agree to the last digit on all {complete} complete days; credits take"
            f" ${rounded(-credited)} off the bill."
        )


@each("schema", list(CUSTOMERS))
def test_labels_in_pictures_are_numbers_of_the_tables(
    page: Callable[..., Page], schema: str
) -> None:
    """Text at the end of a bar is rounded from a cell, or from the sum of others."""
    found = page(schema)
    values = {Decimal(exact) for exact, _ in found.shown}
    known = {f"${rounded(it, 0 if it >= 100 else 2)}" for it in values if it >= 0}
    known |= {percent(it) for it in values if it < 10} | {f"{it:,}" for it in values}
    money = [it for it in found.labels if it.startswith("$") and "." in it]
    assert money
    others = [label for label in found.labels if label.endswith(" others")]
    ticks = re.compile(r"\$[\d.,]+(k|M)?$")
    for label in money:
        assert label in known or others or ticks.match(label), label


# -- hostile data, many rows, other databases


def test_hostile_names_are_harmless(page: Callable[..., Page]) -> None:
    honest, hostile = page("mixed"), page("hostile")
    assert hostile.tags == honest.tags
    assert hostile.attributes == honest.attributes
    assert {name: len(rows) for name, rows in hostile.tables.items()} == {
        name: len(rows) for name, rows in honest.tables.items()
    }
    assert sorted(hostile.shown) == sorted(honest.shown)
    text = " ".join(cell for rows in hostile.tables.values() for row in rows for cell in row)
    for name in HOSTILE[:2]:
        assert name in text
    assert "49" not in {cell for row in hostile.tables["people-table-1"] for cell in row}
    for harmful in ("\u202e", "\x07", "\u2028", "x" * 81):
        assert harmful not in hostile.html
    assert "<script" not in hostile.html
    assert not re.search(r"(?:href|src|xlink:href)=\"(?!#)", hostile.html)


def test_a_page_of_many_rows_is_small(report: Report, spend_marts: Path, tmp_path: Path) -> None:
    """A year of 2,000 rows a day, by 4,000 people: the database adds up."""
    many = tmp_path / "many.duckdb"
    with duckdb.connect(str(many)) as database:
        database.execute(f"attach '{spend_marts}' as source (read_only)")
        copy(database, "claude_marts", "source.mixed", "true")
        database.execute(
            f"""
            insert into claude_marts.claude_cost by name
            select * exclude (number) replace (
                actor_id || '-' || (number % 4000) as actor_id,
                actor_name || ' ' || (number % 4000) as actor_name,
                date '{RECENT:%Y-%m-%d}' - cast(number % 365 as integer) as day
            )
            from range(730000) as numbers(number)
            cross join (from claude_marts.claude_cost where actor_type = 'user_actor' limit 1)
                as row
            """
        )
    out = tmp_path / "many.html"
    done = report(f"duckdb:///{many}", out)
    assert done.returncode == 0, done.stderr
    assert out.stat().st_size < 2_000_000
    people = parse(out.read_text()).tables["people-table-1"]
    assert len(people) == 1 + 40 + 2
    assert people[-2][0].endswith(" others")
    *first, others, total = (numbers(row, 3)[0] or Decimal(0) for row in people[1:])
    assert total == sum(first, others)


def test_postgresql_gives_the_same_page(
    report: Report,
    page: Callable[..., Page],
    spend_marts: Path,
    server: Server,
    tmp_path: Path,
) -> None:
    with (
        connect(spend_marts, "mixed") as source,
        psycopg.connect(server.dsn, autocommit=True) as target,
    ):
        target.execute("create schema spend")
        for mart in READ:
            types = source.execute(f"describe {mart}").fetchall()
            columns = ", ".join(f"{name} {kind}" for name, kind, *_ in types)
            target.execute(f"create table spend.{mart} ({columns})".encode())
            with target.cursor().copy(f"copy spend.{mart} from stdin".encode()) as copying:
                for row in source.execute(f"from {mart}").fetchall():
                    copying.write_row(row)
    out = tmp_path / "postgres.html"
    done = report(server.dsn, out, "--schema", "spend")
    assert done.returncode == 0, done.stderr
    assert out.read_text() == page("mixed").html


# -- options and errors


def test_month_organization_and_title_choose_what_is_shown(
    page: Callable[..., Page], spend_marts: Path
) -> None:
    with connect(spend_marts, "mixed") as database:
        month, id_, amount = database.execute(
            "select strftime(month, '%Y-%m'), organization_id, amount_usd from claude_forecast"
            f" where organization_type = 'enterprise' and {OF_MONTH.replace('=', '<')}"
            " order by month desc limit 1"
        ).fetchall()[0]
    found = page(
        "mixed", "--month", month, "--organization", id_, "--title", "<b>Ours</b> & theirs"
    )
    assert "<h1><bdi>&lt;b&gt;Ours&lt;/b&gt; &amp; theirs</bdi></h1>" in found.html
    assert f"${rounded(amount)}" in found.cards[0]
    assert "organizations" not in found.claims
    assert "known only as they are now" in found.html


def test_errors_are_one_line_that_names_the_way_out(
    report: Report, spend_marts: Path, tmp_path: Path
) -> None:
    url, out = f"duckdb:///{spend_marts}", tmp_path / "claude.html"
    out.write_text("before")
    for options, message in (
        ((url, "--schema", "elsewhere"), "--schema elsewhere: the marts are not there"),
        ((url, "--schema", "partial"), "claude_cost is missing"),
        ((url, "--schema", "empty"), "the marts are empty"),
        ((url, "--schema", "mixed", "--month", "2020-01"), "--month 2020-01: no data; loaded are"),
        ((url, "--schema", "mixed", "--month", "May"), "write a month like 2026-09"),
        ((url, "--schema", "mixed", "--organization", "x"), "--organization x: not known"),
        ((f"duckdb:///{tmp_path}/none.duckdb",), "none.duckdb"),
        (("postgresql://u:hidden@127.0.0.1:1/db",), "u:***@127.0.0.1:1/db"),
        (("nonsense",), "not a SQLAlchemy URL"),
        (("nothing://x",), "no SQLAlchemy driver"),
    ):
        done = report(options[0], out, *options[1:])
        assert done.returncode == 1, options
        lines = done.stderr.strip().splitlines()
        assert message in lines[-1], done.stderr
        assert lines[-1].startswith("Error: ")
        assert "Traceback" not in done.stderr
        assert "hidden" not in done.stderr
        assert out.read_text() == "before"
    done = report(url, tmp_path / "no" / "folder.html", "--schema", "mixed")
    assert (done.returncode, "No such file" in done.stderr) == (1, True)
    assert not list(tmp_path.glob(".claude*"))
    assert not (tmp_path / "none.duckdb").exists()
