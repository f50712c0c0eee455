"""The service catalog that tokens carry: enabled endpoints of enabled services, with the project's id filled in."""

import re
from typing import Any

from sqlalchemy import select

from harness.emulator.database import Database, Statement
from harness.emulator.keystone.rows import loads
from harness.emulator.keystone.schema import endpoint, service

_SERVICES = Statement(select(service).order_by(service.c.id))
_ENDPOINTS = Statement(select(endpoint).order_by(endpoint.c.id))
_BRACED = re.compile(r"\$\((\w+)\)s|%\((\w+)\)s")


class Catalog:
    """Reads the catalog once and keeps it until `forget`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._entries: list[dict[str, Any]] | None = None

    def forget(self) -> None:
        self._entries = None

    async def for_token(self, user_id: str, project_id: str | None) -> list[dict[str, Any]]:
        """The catalog for one user and project; an endpoint that needs a project is left out where there is none."""
        if self._entries is None:
            self._entries = await self._read()
        values = {"user_id": user_id}
        if project_id is not None:
            values |= {"project_id": project_id, "tenant_id": project_id}
        answer = []
        for entry in self._entries:
            endpoints = []
            for one in entry["endpoints"]:
                url = one["url"]
                if "$(" in url or "%(" in url:
                    names = [first or second for first, second in _BRACED.findall(url)]
                    if any(name not in values for name in names):
                        continue
                    url = _BRACED.sub(lambda found: values[found[1] or found[2]], url)
                endpoints.append({**one, "url": url})
            answer.append({**entry, "endpoints": endpoints})
        return answer

    async def _read(self) -> list[dict[str, Any]]:
        by_service: dict[str, list[dict[str, Any]]] = {}
        for row in await self._database.fetch(_ENDPOINTS):
            if row["enabled"]:
                by_service.setdefault(row["service_id"], []).append(
                    {
                        "id": row["id"],
                        "interface": row["interface"],
                        "region_id": row["region_id"],
                        "url": row["url"],
                        "region": row["region_id"],
                    }
                )
        return [
            {
                "endpoints": by_service.get(row["id"], []),
                "id": row["id"],
                "type": row["type"],
                "name": loads(row["extra"]).get("name", ""),
            }
            for row in await self._database.fetch(_SERVICES)
            if row["enabled"]
        ]
