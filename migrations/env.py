"""Alembic's entry: connects as the role that owns the tables.

``MIGRATION_DATABASE_URL`` names that role; the role of ``DATABASE_URL`` is granted what the
application needs. Without URLs the embedded PostgreSQL is meant.
"""

import asyncio

from alembic import context
from sqlalchemy import Connection, make_url, pool, text
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.ext.asyncio import create_async_engine

import runtime
import settings
from domain.core.database import UNNAMED_STATEMENTS
from domain.jobs.property_log import TransactionId
from domain.tables import Base

# SQLAlchemy does not know the type, and the tables are compared with the models.
ischema_names["xid8"] = TransactionId


def run(connection: Connection) -> None:
    """Run the migrations in one transaction."""
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        # Processes that start at the same time migrate one after the other.
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('migrate', 0))"))
        context.run_migrations()


async def connect_and_run(url: str) -> None:
    """Connect as the owner and run."""
    # Also through a connection pooler: each statement runs once.
    engine = create_async_engine(url, poolclass=pool.NullPool, connect_args=UNNAMED_STATEMENTS)
    async with engine.connect() as connection:
        await connection.run_sync(run)
        await connection.commit()
    await engine.dispose()


if context.is_offline_mode():
    raise SystemExit("migrations need a database: --sql is not supported")
attributes = context.config.attributes
services = attributes.get("services") or runtime.services(settings.load())
if services.migration_database_url is None:
    raise SystemExit("set MIGRATION_DATABASE_URL to the role that owns the tables")
attributes["application_role"] = make_url(services.database_url).username
asyncio.run(connect_and_run(services.migration_database_url))
