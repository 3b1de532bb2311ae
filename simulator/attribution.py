"""Attribution of usage: identities, products, teams, agents, Slack channels."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulator.organization import new_id

if TYPE_CHECKING:
    import datetime as dt

    from simulator.organization import Organization

TASKS = 3
"""Number of tasks of a workspace."""
CATEGORIES = ("dm", "engaged", "monitoring", "proactive", "scheduled")


@dataclass(frozen=True, slots=True)
class Actor:
    """The identity that usage is attributed to."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class Task:
    """What agents of a workspace do again and again: each week has a session of its own."""

    workspace_id: str
    agent_id: str
    environment_id: str
    deployment_id: str | None
    """One in three is started without a deployment."""
    number: int

    def session_id(self, date: dt.date) -> str:
        """Return the session of a day."""
        year, week, _ = date.isocalendar()
        name = f"{self.workspace_id}:{self.agent_id}:{self.number}:{year}-{week}"
        return new_id(random.Random(name), "sesn")


@dataclass(frozen=True, slots=True)
class Team:
    """A group of users, with both of its ids."""

    id: str
    uuid: str


class Cast:
    """All identities and objects, beyond the directory, that usage can be attributed to."""

    def __init__(self, organization: Organization, *, enterprise: bool) -> None:
        """Generate them from the organization's seed."""
        rng = random.Random(f"cast:{organization.seed}")
        self.organization = organization
        self.enterprise = enterprise
        self.number_of_user = {id_: number for number, id_ in enumerate(organization.users)}
        # Every fourth key is a personal one.
        self.owners = {
            key.id: organization.users[number % len(organization.users)]
            for number, key in enumerate(organization.keys)
            if number % 4 == 3
        }
        # The first one has left; the account of the second one is deleted, too.
        self.former_users = [new_id(rng, "user") for _ in range(2)]
        self.nameless_user = organization.users[-1]
        self.claude_security = new_id(rng, "user")
        # Identities that the API cannot name: each has its own row, and is null in it.
        self.ghosts = [f"ghost-{number}" for number in range(3)]
        self.federated = _federated()
        self.platforms = [*self.federated, *self.ghosts]
        self.teams = [
            Team(new_id(rng, "rbac_group"), str(uuid.UUID(int=rng.getrandbits(128), version=4)))
            for _ in range(3)
        ]
        self.tasks = _tasks(organization)
        self.user_profiles = [new_id(rng, "uprof") for _ in range(4)]
        self.slack_channels = [f"C0{number}CHANNEL" for number in range(4)]

    def describe(self, actor: Actor | None, revision: int) -> dict[str, Any] | None:
        """Return an identity in the format of the API; null if the API cannot name it."""
        if actor is None or actor.id in self.ghosts:
            return None
        if actor.type == "service_account_actor":
            return {"type": actor.type, "service_account_id": actor.id}
        if actor.type == "api_actor":
            return {"type": actor.type, "api_key_id": actor.id}
        if actor.type == "federated_actor":
            return {"type": actor.type, **self.federated[actor.id]}
        name, email, deleted = self._person(actor.id, revision)
        return {
            "type": actor.type,
            "user_id": actor.id,
            "email_address": email,
            "name": name,
            "deleted": deleted,
        }

    def _person(self, user_id: str, revision: int) -> tuple[str | None, str | None, bool]:
        if user_id == self.claude_security:
            return "Claude Security", None, False
        if user_id == self.former_users[1]:
            return "Deleted User", None, True
        if user_id == self.former_users[0]:
            person = self.organization.person(10_000)
            return person.name, person.email, True
        person = self.organization.people[user_id]
        # With each revision, one person changes the name, and one leaves.
        number = self.number_of_user[user_id]
        name = f"{person.name} II" if revision and number == 0 else person.name
        return (
            None if user_id == self.nameless_user else name,
            person.email,
            bool(revision) and number == 1,
        )

    def teams_of(self, user_id: str | None, date: dt.date) -> tuple[str, ...]:
        """Return up to two groups of a user on a day; some users change groups every month."""
        if not self.enterprise or user_id not in self.number_of_user:
            return ()
        first, second, third = (team.id for team in self.teams)
        return (
            (first,),
            (first, second),
            (second,) if date.month % 2 else (second, third),
            (),
        )[self.number_of_user[user_id] % 4]

    def of_console(
        self, rng: random.Random, fields: dict[str, Any], date: dt.date
    ) -> dict[str, Any]:
        """Return the attribution of Console usage, from the fields of the older reports."""
        more = self._by_user(rng) if fields.get("account_id") else self._by_program(rng, fields)
        if more["product"] == "managed_agents_api":
            more |= self.in_session(rng, fields["workspace_id"], date)
        if rng.random() < 0.1:
            more["user_profile_id"] = rng.choice(self.user_profiles)
        return more

    def in_session(self, rng: random.Random, workspace_id: str, date: dt.date) -> dict[str, Any]:
        """Return the product and the ids of a session of Claude Managed Agents in a workspace."""
        task = self.tasks[workspace_id][rng.randrange(12) % TASKS]
        return {
            "product": "managed_agents_api",
            "session_id": task.session_id(date),
            "agent_id": task.agent_id,
            "environment_id": task.environment_id,
            "deployment_id": task.deployment_id,
        }

    def of_enterprise(self, rng: random.Random, date: dt.date) -> dict[str, Any]:
        """Return the attribution of Claude Enterprise usage, without workspace, key or tier."""
        user: str | None = rng.choices(
            (rng.choice(self.organization.users), *self.former_users, *self.ghosts, None),
            weights=(80, 4, 4, 3, 3, 3, 3),
        )[0]
        product = rng.choices(
            (
                *("chat", "cowork", "chat_cowork_unified", "claude_code", "claude_tag"),
                *("office_agent", "claude_in_chrome", "claude_design", "other", None),
            ),
            weights=(30, 12, 8, 25, 12, 4, 3, 3, 2, 1),
        )[0]
        more: dict[str, Any] = {
            "workspace_id": None,
            "api_key_id": None,
            "service_account_id": None,
            "service_tier": None,
            "product": product,
        }
        if product == "claude_tag":
            category = rng.choice(CATEGORIES)
            if category in {"monitoring", "proactive"}:
                user = None
            elif user in self.number_of_user:
                more["claude_tag_user_id"] = f"U0{self.number_of_user[user]}MEMBER"
            more["claude_tag_category"] = category
            if category != "dm" and rng.random() < 0.9:
                more["slack_channel_id"] = rng.choice(self.slack_channels)
        return {**more, "account_id": user, "rbac_group_ids": self.teams_of(user, date)}

    def _by_user(self, rng: random.Random) -> dict[str, Any]:
        products = ("claude_code", "claude_console", "cc_security_autopatch")
        product = rng.choices(products, weights=(6, 3, 1))[0]
        if product == "cc_security_autopatch":
            return {"product": product, "account_id": self.claude_security}
        if rng.random() < 0.2:
            return {"product": product, "account_id": rng.choice(self.former_users)}
        return {"product": product}

    def _by_program(self, rng: random.Random, fields: dict[str, Any]) -> dict[str, Any]:
        products = ("messages_api", "managed_agents_api", "claude_code")
        product = rng.choices(products, weights=(6, 3, 1))[0]
        if fields.get("service_tier") == "batch":
            product = "message_batches_api"
        means = rng.random()
        platform = rng.choice(self.platforms)
        if fields.get("service_account_id"):
            return {"product": product, "federated_id": platform if means < 0.5 else None}
        if means < 0.1:  # a cloud platform
            return {"product": product, "federated_id": platform, "api_key_id": None}
        if means < 0.15:  # a cloud platform, with a key
            return {"product": product, "federated_id": platform}
        if means < 0.2:  # unknown
            return {"product": None, "api_key_id": None}
        return {"product": product, "owner_id": self.owners.get(fields.get("api_key_id", ""))}


def _tasks(organization: Organization) -> dict[str, list[Task]]:
    """Return the tasks of each workspace; it has two agents, and one deployment of each."""
    tasks = {}
    for workspace_id in organization.workspaces:
        rng = random.Random(f"agents:{organization.seed}:{workspace_id}")
        agents = [new_id(rng, "agent") for _ in range(2)]
        deployments = [new_id(rng, "depl") for _ in range(2)]
        environments = [new_id(rng, "env") for _ in range(2)]
        tasks[workspace_id] = [
            Task(
                workspace_id,
                agents[number % 2],
                environments[number % 2],
                deployments[number % 2] if number else None,
                number,
            )
            for number in range(TASKS)
        ]
    return tasks


def _federated() -> dict[str, dict[str, Any]]:
    """Return federated identities of cloud platforms, in the format of the API."""
    role = "arn:aws:iam::111122223333:role/reports"
    subjects_and_providers: tuple[tuple[str | None, dict[str, Any]], ...] = (
        (role, {"type": "aws", "account_id": "111122223333", "signed_principal": role}),
        (None, {"type": "azure", "subscription_id": "7a1c0f7e-0000-4000-8000-000000000002"}),
        (
            "serviceAccount:reports@example.iam.gserviceaccount.com",
            {"type": "gcp", "project_number": "123456789012"},
        ),
        ("repo:example/app:main", {"type": "oidc", "issuer": "https://idp-0.example.com"}),
        (None, {"type": "oidc", "issuer": None}),
    )
    return {
        f"federated-{number}": {"subject": subject, "provider": provider}
        for number, (subject, provider) in enumerate(subjects_and_providers)
    }
