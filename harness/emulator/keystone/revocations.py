"""Revocation events: stateless tokens die by being described in a table that every validation reads.

Each process keeps the events it has read and asks only for newer ones, once per validation: so a token revoked by
another process is refused at once, and a validation needs the database, as keystone's does.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, delete, insert, select

from harness.emulator.database import Database, Statement
from harness.emulator.keystone.schema import revocation_event
from harness.emulator.keystone.tokens import Token

_OVERLAP_US = 10_000_000  # an event stamped earlier may be committed later than one that was read already
_NEWER = Statement(select(revocation_event).where(revocation_event.c.revoked_at_us >= bindparam("since_us")))
_ADD = Statement(insert(revocation_event))
_PRUNE = Statement(delete(revocation_event).where(revocation_event.c.revoked_at_us < bindparam("before_us")))


class Revocations:
    """What was revoked, indexed by what it applies to. Times in microseconds since 1970."""

    def __init__(self, database: Database, token_lifetime_us: int) -> None:
        self._database = database
        self._lifetime_us = token_lifetime_us
        self._since_us = 0
        self._seen: set[int] = set()
        self._by: dict[str, dict[str, int]] = {
            name: {} for name in ("audit_id", "audit_chain_id", "user_id", "project_id", "domain_id")
        }

    async def refresh(self) -> None:
        """Read what was added since the last time."""
        for row in await self._database.fetch(_NEWER, since_us=self._since_us - _OVERLAP_US):
            if row["id"] not in self._seen:
                self._take(row)

    def revokes(self, token: Token, user_domain_id: str, project_domain_id: str | None) -> bool:
        """Whether any event describes this token. Events count in whole seconds, as keystone's do."""
        issued_us = token.issued_us
        by = self._by
        if token.audit_ids[0] in by["audit_id"] or token.chain_id in by["audit_chain_id"]:
            return True
        if issued_us <= by["user_id"].get(token.user_id, -1):
            return True
        if token.project_id is not None and issued_us <= by["project_id"].get(token.project_id, -1):
            return True
        domains = by["domain_id"]
        return bool(domains) and any(
            domain is not None and issued_us <= domains.get(domain, -1)
            for domain in (user_domain_id, project_domain_id, token.domain_id)
        )

    async def add(self, now_us: int, **what: str) -> None:
        """Revoke the tokens issued until now that match `what` (one of user_id, project_id, domain_id, audit_id...)."""
        whole_us = now_us // 1_000_000 * 1_000_000
        await self._database.execute(_PRUNE, before_us=now_us - self._lifetime_us - 1_800_000_000)
        await self._database.execute(_ADD, issued_before_us=whole_us, revoked_at_us=now_us, **what)

    def _take(self, row: Mapping[str, Any]) -> None:
        self._seen.add(row["id"])
        self._since_us = max(self._since_us, row["revoked_at_us"])
        for name, known in self._by.items():
            value = row[name]
            if value is not None:
                known[value] = max(known.get(value, -1), row["issued_before_us"])
