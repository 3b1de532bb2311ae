"""Organization identity: the id from the API, the user's label, and the identity in the state.

Row keys include the organization, so that rows of two organizations can share a table (docs:
api/overview, response headers). The identity is stored in the state and never changes afterwards,
so that keys stay the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tap_claude.credentials import COMPLIANCE
from tap_claude.errors import OtherOrganizationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ORGANIZATIONS = "organizations"
"""Entry of a stream's state: the identities of the organizations in its table."""


class Identity(NamedTuple):
    """The organization columns of a record."""

    organization_type: str
    organization_id: str
    organization_label: str | None


class Organizations:
    """The organizations of a run, one per kind, with the ids that the API has returned."""

    def __init__(self, label: str | None, kinds: tuple[str, ...]) -> None:
        """Start without ids; ``kinds`` are those that credentials are set for."""
        self.label = label
        self._kinds = kinds
        self._known: dict[tuple[str, bool], tuple[str | None, str]] = {}
        """By kind, and whether the credential is one of `COMPLIANCE`."""

    def learn(
        self, kind: str, credential: str, header: str | None, request_id: Callable[[], str | None]
    ) -> None:
        """Store the organization id of a response; call ``request_id`` if the header is missing.

        A Compliance access key can belong to the parent of the organization that the other keys
        belong to, or to none. Raises `OtherOrganizationError` if other credentials of one kind
        differ.
        """
        place = kind, credential in COMPLIANCE
        if place not in self._known:
            self._known[place] = (header or request_id(), credential)
            return
        known, by = self._known[place]
        if header and known and header != known and credential != by:
            msg = (
                f"{credential} belongs to the organization {header}, but {by} to {known}; use"
                " credentials of the same organization, and a separate run for each organization"
            )
            raise OtherOrganizationError(msg)

    def api_id(self, kind: str, credential: str | None) -> str | None:
        """Return the API's id of a credential's organization; None if it is not known."""
        return self._known.get((kind, credential in COMPLIANCE), (None, ""))[0]

    def identify(
        self, kind: str, stream_state: dict[str, Any], credential: str | None = None
    ) -> Identity:
        """Return the identity of the organization in a stream's table; store it in the state.

        Raises `OtherOrganizationError` if the state belongs to another organization.
        """
        known = stream_state.setdefault(ORGANIZATIONS, {}).setdefault(kind, {})
        api_id = self.api_id(kind, credential)
        if api_id:
            before = known.setdefault("api_id", api_id)
            if before != api_id:
                msg = (
                    f"the state belongs to the {kind} organization {before}, but the credential to"
                    f" {api_id}; use a separate state for each organization, or start without one"
                )
                raise OtherOrganizationError(msg)
        pinned: str = known.setdefault("id", api_id or self._fallback(kind))
        return Identity(kind, pinned, self.label)

    def _fallback(self, kind: str) -> str:
        if not self.label:
            return kind
        # There is only one label, even if two organizations are read.
        return self.label if len(self._kinds) == 1 else f"{self.label} ({kind})"


def unread_organizations(state: Mapping[str, Any], kinds: tuple[str, ...]) -> Iterator[str]:
    """Yield the kinds of organization in a state that no credential is set for."""
    found = {kind for stream in state.get("bookmarks", {}).values() for kind in known_kinds(stream)}
    yield from sorted(found - set(kinds))


def known_kinds(stream_state: Mapping[str, Any]) -> set[str]:
    """Return the kinds of organization that have rows in a stream's table."""
    parts = [stream_state, *(part["context"] for part in stream_state.get("partitions") or ())]
    of_parts = {part["organization_type"] for part in parts if part.get("organization_type")}
    return of_parts | set(stream_state.get(ORGANIZATIONS) or ())
