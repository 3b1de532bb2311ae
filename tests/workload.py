"""A workload that has an identity token instead of a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.oauth import admin_rule, identity_token
from tests.conftest import settings

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.server import Simulator


class Workload:
    """A file with an identity token, and the federation rule that accepts it."""

    def __init__(self, simulator: Simulator, folder: Path) -> None:
        """Write the first identity token."""
        self.simulator = simulator
        self.directory = simulator.tokens.directory
        self.rule = admin_rule(self.directory)
        self.issuer = next(
            row for row in self.directory.federation_issuers if row["id"] == self.rule["issuer_id"]
        )
        self.file = folder / "identity-token"
        self.secrets: list[str] = []
        """The content of the file, from the beginning until now."""
        self.renew()

    def renew(self, **claims: Any) -> str:
        """Write another identity token, with a line break as many tools do."""
        token = identity_token(self.directory, self.rule, **claims)
        self.write(f"{token}\n")
        return token

    def write(self, text: str) -> None:
        """Replace the content of the file at once, as Kubernetes does."""
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.replace(self.file)
        self.secrets.append(text.strip())

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return a configuration without any key."""
        config = settings(
            self.simulator,
            federation_rule_id=self.rule["id"],
            federation_organization_id=self.directory.organization.id,
            identity_token_file=str(self.file),
            service_account_id=self.rule["target"]["service_account_id"],
        )
        del config["admin_api_key"]
        return {name: value for name, value in {**config, **more}.items() if value is not None}

    def leaks(self, text: str) -> list[str]:
        """Return the secrets, whole or in part, that a text contains."""
        parts = [part for token in self.secrets for part in (token, *token.split(".")[1:])]
        parts += [issued.token for issued in self.simulator.tokens.issued]
        return [part for part in parts if len(part) > 3 and part in text]
