"""Twenty simulated organizations, and what their tables should come to."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from simulator.console_reports import DELAY
from simulator.facts import Facts
from simulator.server import ADMIN_KEY, ANALYTICS_KEY, Simulator

if TYPE_CHECKING:
    from psycopg import Connection

HISTORY = dt.timedelta(days=60)
BREADTH = 4
# Every fourth organization is of Claude Enterprise.
ENTERPRISE_EVERY = 4

TOKENS = """sum(uncached_input_tokens + cache_read_input_tokens + output_tokens
    + cache_creation_ephemeral_5m_input_tokens + cache_creation_ephemeral_1h_input_tokens)"""
MEASURES = {
    "analytics_cost": "sum(amount_usd)",
    "analytics_usage": "sum(total_tokens)",
    "cost_report": "sum(amount_usd)",
    "messages_usage": TOKENS,
    "users": "count(*)",
}


@dataclass
class Customer:
    """A simulated organization, served on a port of its own."""

    name: str
    simulator: Simulator
    enterprise: bool
    start: dt.date

    @property
    def schema(self) -> str:
        """The schema that the DAG loads it into."""
        return f"claude_{self.name}"

    @property
    def key(self) -> tuple[str, str]:
        """The setting of its credential, and the credential."""
        if self.enterprise:
            return "analytics_api_key", ANALYTICS_KEY
        return "admin_api_key", ADMIN_KEY

    @property
    def secret(self) -> str:
        """The name of the secret."""
        return f"{self.name}_{self.key[0]}".upper()

    @property
    def entry(self) -> dict[str, Any]:
        """The entry of the list of organizations."""
        return {
            "name": self.name,
            "label": self.name.replace("_", " ").title(),
            "settings": {"base_url": self.simulator.url, "start_date": self.start.isoformat()},
            "secrets": {self.key[0]: self.secret},
        }

    def expected(self) -> dict[str, Decimal | int]:
        """Return what each table should come to."""
        facts = self.simulator.enterprise if self.enterprise else self.simulator.facts
        start = dt.datetime.combine(self.start, dt.time(), dt.UTC)
        known = list(facts.between(start, self.simulator.now - DELAY))
        charged = [line for fact in known for line in fact.costs]
        # analytics_cost has no credits
        spent = sum((line.amount for line in charged if line.cost_type), Decimal(0))
        tokens = sum(sum(fact.counters[:5]) for fact in known)
        people = self.simulator.directories["E" if self.enterprise else "A"].users
        sums: dict[str, Decimal | int]
        sums = {"analytics_cost": spent / 100, "analytics_usage": tokens, "users": len(people)}
        if not self.enterprise:
            billed = sum((line.amount for line in charged), Decimal(0))
            sums |= {"cost_report": billed / 100, "messages_usage": tokens}
        return sums

    def loaded(self, database: Connection) -> dict[str, Decimal | int]:
        """Return what each table of the schema comes to; empty if there are no tables."""
        sums: dict[str, Decimal | int] = {}
        for table, measure in MEASURES.items():
            if self._exists(database, table):
                row = database.execute(
                    f"select {measure} from {self.schema}.{table}".encode()
                ).fetchone()
                sums[table] = row[0] if row else 0
        return sums

    def rows(self, database: Connection) -> int:
        """Count the rows of all tables of the schema."""
        tables = database.execute(
            "select table_name from information_schema.tables where table_schema = %s",
            [self.schema],
        ).fetchall()
        return sum(
            row[0]
            for (table,) in tables
            for row in database.execute(f"select count(*) from {self.schema}.{table}".encode())
        )

    def _exists(self, database: Connection, table: str) -> bool:
        name = f"{self.schema}.{table}"
        return database.execute("select to_regclass(%s)", [name]).fetchone() != (None,)


def make_customer(number: int, now: dt.datetime) -> Customer:
    """Make a customer, whose clock stands."""
    start = (now - HISTORY).date()
    facts = Facts(
        seed=2 * number,  # Claude Enterprise has the next one
        first_day=start,
        today=dt.datetime.now(dt.UTC).date(),
        breadth=BREADTH,
        shared_people=True,
    )
    enterprise = number % ENTERPRISE_EVERY == 0
    return Customer(f"customer_{number:02}", Simulator(facts, now=now), enterprise, start)
