"""PostgreSQL over its driver alone.

SQLAlchemy takes longer to import than a command takes that reads a list, so that such a command
does without. What this module asks of a connection ``domain.core.database`` asks in the same words.
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# Not urlsplit: to SQLAlchemy a password may hold "#", "/" and "?", and a host keeps its case.
_USUAL_URL = re.compile(
    r"[\w+]+://(?:(?P<user>[^:/?@]*)(?::(?P<password>[^@]*))?@)?"
    r"(?P<host>[\w.-]*)(?::(?P<port>[0-9]+))?(?:/(?P<database>[^?@]*))?(?:\?(?P<query>[^@]*))?"
)

_ROLE = """
    SELECT current_user AS name, rolsuper OR rolbypassrls OR EXISTS (
        SELECT FROM pg_class
        WHERE relowner = pg_roles.oid AND relnamespace = 'public'::regnamespace
    ) AS unsafe
    FROM pg_roles WHERE rolname = current_user
"""


class UnsafeRoleError(RuntimeError):
    """The database role could read across tenants; the process must not start with it."""


def options(url: str) -> dict[str, Any]:
    """What the driver connects with for an SQLAlchemy URL, ``postgresql+asyncpg://...``."""
    parts = _USUAL_URL.fullmatch(url)
    if parts is None:
        return _all_options(url)
    asked = parse_qsl(parts["query"] or "")
    found = {
        "host": parts["host"],
        "port": parts["port"],
        **{name: unquote(parts[name] or "") for name in ("database", "user", "password")},
        **dict(asked),
    }
    simple = {name for name, _ in asked} <= {"host", "port"} and len(asked) == len(dict(asked))
    if not simple or set(str(found["host"])) & set(",:") or not str(found["port"] or 0).isdigit():
        return _all_options(url)
    found["port"] = found["port"] and int(found["port"])
    return {name: value for name, value in found.items() if value}


def _all_options(url: str) -> dict[str, Any]:
    """The same, where more is asked for than one host: SQLAlchemy knows all that can be."""
    from sqlalchemy import make_url
    from sqlalchemy.dialects.postgresql.asyncpg import dialect

    _, found = dialect().create_connect_args(make_url(url))  # type: ignore[no-untyped-call]
    return without_engine_options(found)


def without_engine_options(found: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are the driver's, without those that SQLAlchemy has of its own."""
    engine_options = ("prepared_statement_name_func", "prepared_statement_cache_size")
    return {name: value for name, value in found.items() if name not in engine_options}


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Connection]:
    """Open a connection that goes through any pooler: no statement has a name."""
    connection: Connection = await asyncpg.connect(**options(url), statement_cache_size=0)
    try:
        yield connection
    finally:
        # Nothing is left to be said to the server.
        connection.terminate()


async def refuse_unsafe_role(connection: Connection) -> None:
    """Check that row-level security binds this role.

    Raises:
        UnsafeRoleError: the role is a superuser, bypasses row-level security or owns tables.
    """
    role = await connection.fetchrow(_ROLE)
    if role is not None and role["unsafe"]:
        raise UnsafeRoleError(
            f"DATABASE_URL connects as {role['name']!r}, which could bypass row-level security; "
            "use a role that is no superuser, lacks BYPASSRLS and owns no tables"
        )


async def revision(connection: Connection) -> str | None:
    """The migration the database stands at; None before the first."""
    if await connection.fetchval("SELECT to_regclass('alembic_version')::text") is None:
        return None
    found: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return found
