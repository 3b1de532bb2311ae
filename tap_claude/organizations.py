"""Which organization rows belong to: what the API says, what people call it, what state keeps.

Row keys count the organization, so that two customers' rows can share a table (docs: api/overview,
response headers). An identity stays as it was when a bookmark began: keys never change under a
table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tap_claude.errors import OtherOrganizationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ORGANIZATIONS = "organizations"
"""Entry of a stream's state: the identities of the organizations that have filled its table."""


class Identity(NamedTuple):
    """An organization as its records name it."""

    organization_type: str
    organization_id: str
    organization_label: str | None


class Organizations:
    """The organizations of a run, one per kind, as far as the API has named them."""

    def __init__(self, label: str | None, kinds: tuple[str, ...]) -> None:
        """Know no names yet, but the kinds of organization that credentials are set for."""
        self.label = label
        self._kinds = kinds
        self._said: dict[str, tuple[str | None, str]] = {}

    def learn(
        self, kind: str, credential: str, said: str | None, ask: Callable[[], str | None]
    ) -> None:
        """Take what a response says of its organization; ``ask`` the API where it says nothing.

        Raises `OtherOrganizationError` if two credentials of one kind differ.
        """
        if kind not in self._said:
            self._said[kind] = (said or ask(), credential)
            return
        known, by = self._said[kind]
        if said and known and said != known and credential != by:
            msg = (
                f"{credential} is of the organization {said}, but {by} of {known}; give"
                " credentials of one organization, and each organization a run of its own"
            )
            raise OtherOrganizationError(msg)

    def named(self, kind: str) -> str | None:
        """Return what the API calls the organization of a kind; None where it does not say."""
        return self._said.get(kind, (None, ""))[0]

    def identify(self, kind: str, stream_state: dict[str, Any]) -> Identity:
        """Return the identity under which a stream's table has the organization, and pin it.

        Raises `OtherOrganizationError` if the state is of another organization.
        """
        known = stream_state.setdefault(ORGANIZATIONS, {}).setdefault(kind, {})
        named = self.named(kind)
        if named:
            before = known.setdefault("api_id", named)
            if before != named:
                msg = (
                    f"the state is of the {kind} organization {before}, but the credential of"
                    f" {named}; give each organization a state of its own, or start without one"
                )
                raise OtherOrganizationError(msg)
        pinned: str = known.setdefault("id", named or self._fallback(kind))
        return Identity(kind, pinned, self.label)

    def _fallback(self, kind: str) -> str:
        if not self.label:
            return kind
        # The label is one setting, also where two organizations are read.
        return self.label if len(self._kinds) == 1 else f"{self.label} ({kind})"


def unread_organizations(state: Mapping[str, Any], kinds: tuple[str, ...]) -> Iterator[str]:
    """Yield the kinds of organization that a state knows and no credential is set for."""
    found = {kind for stream in state.get("bookmarks", {}).values() for kind in known_kinds(stream)}
    yield from sorted(found - set(kinds))


def known_kinds(stream_state: Mapping[str, Any]) -> set[str]:
    """Return the kinds of organization that have filled a stream's table."""
    parts = [stream_state, *(part["context"] for part in stream_state.get("partitions") or ())]
    of_parts = {part["organization_type"] for part in parts if part.get("organization_type")}
    return of_parts | set(stream_state.get(ORGANIZATIONS) or ())
