"""The simulated organization: workspaces, keys, people, models and their prices."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_WORKSPACE = "wrkspc_01default0000000000000000"
_NAMESPACE = uuid.UUID("5f1e7a52-3c84-4d0e-9a77-000000000001")
_FIRST_NAMES = ("Ada", "Ben", "Chidi", "Dana", "Emre", "Fatima", "Goran", "Hana", "Ivo", "Jun")
_LAST_NAMES = ("Abe", "Bauer", "Costa", "Diaz", "Endo", "Faye", "Garcia", "Haddad", "Ito", "Jonas")


@dataclass(frozen=True)
class Model:
    """A model and its list prices in cents per million tokens."""

    name: str
    display_name: str
    input_price: Decimal
    output_price: Decimal
    geo: bool = True
    """Older models report the inference geo ``not_available``."""


MODELS = (
    Model("claude-opus-4-6", "Claude Opus 4.6", Decimal(500), Decimal(2500)),
    Model("claude-sonnet-4-6", "Claude Sonnet 4.6", Decimal(300), Decimal(1500)),
    Model("claude-haiku-4-5-20251001", "Claude Haiku 4.5", Decimal(100), Decimal(500), geo=False),
    Model("claude-3-5-haiku-20241022", "Claude Haiku 3.5", Decimal(80), Decimal(400), geo=False),
)


@dataclass(frozen=True)
class Key:
    """An API key of a workspace."""

    id: str
    name: str
    workspace_id: str


@dataclass(frozen=True)
class Person:
    """The person of a user id."""

    name: str
    email: str


class Organization:
    """An organization, generated from a seed; ``breadth`` scales its size."""

    def __init__(self, seed: int, breadth: int, *, id_: str = "") -> None:
        """Generate the organization. The default workspace is always the first."""
        self.seed = seed
        self.id = id_ or organization_id(seed)
        """UUID of the organization; two organizations can have the same people."""
        rng = random.Random(f"organization:{seed}")
        self.workspaces = [
            DEFAULT_WORKSPACE,
            *(new_id(rng, "wrkspc") for _ in range(2 + breadth // 20)),
        ]
        self.keys = [
            Key(new_id(rng, "apikey"), f"key-{number}", rng.choice(self.workspaces))
            for number in range(3 + breadth // 8)
        ]
        self.users = [new_id(rng, "user") for _ in range(4 + breadth // 10)]
        self.service_accounts = [new_id(rng, "svac") for _ in range(1 + breadth // 40)]
        self.people = {id_: self.person(number) for number, id_ in enumerate(self.users)}

    def person(self, number: int) -> Person:
        """Return a person by number; e-mail addresses are unique."""
        number += 13 * self.seed
        count = len(_FIRST_NAMES)
        first = _FIRST_NAMES[number % count]
        last = _LAST_NAMES[(7 * number + number // count) % count]
        namesake = number // count**2 or ""
        return Person(f"{first} {last}", f"{first}.{last}{namesake}@example.com".lower())


def organization_id(seed: int, *, enterprise: bool = False) -> str:
    """Return the UUID of the organization of a seed; it depends on the kind."""
    kind = "enterprise" if enterprise else "console"
    return str(uuid.uuid5(_NAMESPACE, f"{kind}:{seed}"))


def new_id(rng: random.Random, prefix: str) -> str:
    """Return a random id in the format of the API."""
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    return f"{prefix}_01" + "".join(rng.choices(alphabet, k=22))


def filled(known: Sequence[str], count: int, rng: random.Random, prefix: str) -> list[str]:
    """Return the ids of the reports, and more generated ids up to ``count``."""
    return [*known, *(new_id(rng, prefix) for _ in range(count - len(known)))]
