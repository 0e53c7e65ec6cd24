"""Lists for the command line that take less time than SQLAlchemy takes to import.

They are those of ``tenants.list_all`` and ``users.list_all``.
"""

from collections.abc import Sequence
from typing import Any

from domain.core.driver import Connection
from domain.core.errors import not_found

Rows = Sequence[dict[str, Any]]

_TENANTS = "SELECT id, slug, name, created_at FROM tenants ORDER BY slug"
_USERS = """
    SELECT id, external_id, role, name, email, simulated, created_at, deactivated_at
    FROM users ORDER BY external_id
"""


async def tenants(connection: Connection) -> Rows:
    """All tenants, by slug."""
    return list(map(dict, await connection.fetch(_TENANTS)))


async def users(connection: Connection, slug: str) -> Rows:
    """All users of the tenant of that slug, by external id. Raises DomainError NOT_FOUND."""
    async with connection.transaction(readonly=True):
        tenant_id = await connection.fetchval("SELECT id FROM tenants WHERE slug = $1", slug)
        if tenant_id is None:
            raise not_found(f"tenant: {slug!r}")
        await connection.execute("SELECT set_config('app.tenant_id', $1, true)", str(tenant_id))
        return list(map(dict, await connection.fetch(_USERS)))
