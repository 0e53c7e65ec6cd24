"""The engine, and the one place that opens a session."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from domain import leases, tracing
from domain.events import Event
from domain.leases import Held
from domain.reading import Reading
from domain.work import Job, Work

logger = logging.getLogger(__name__)

Enqueue = Callable[[Sequence[Job]], Awaitable[None]]
"""Hands jobs to the queue."""

Publish = Callable[[UUID, Sequence[Event]], Awaitable[None]]
"""Tells the listeners of a tenant what changed."""

SET_TENANT = text("SELECT set_config('app.tenant_id', :tenant_id, true)")

UNSAFE_ROLE = text(
    """
    SELECT rolsuper OR rolbypassrls OR EXISTS (
        SELECT FROM pg_class
        WHERE relowner = pg_roles.oid AND relnamespace = 'public'::regnamespace
    )
    FROM pg_roles WHERE rolname = current_user
    """
)


ACQUIRED_WITHIN = 30.0
"""Seconds that a reader waits for a connection, as long as the engine lets a unit of work."""


class UnsafeRoleError(RuntimeError):
    """The database role could read across tenants; the process must not start with it."""


class Database:
    """A pool of connections of the application's role.

    Args:
        url: an SQLAlchemy URL, ``postgresql+asyncpg://...``.
        enqueue: receives the jobs of a unit of work after its commit.
        publish: receives its events then; without it nobody is told.
        pool_size: connections kept for units of work. Under load as many again may open for them,
            and as many more for reading: three times this in all.
        statement_timeout: seconds after which PostgreSQL itself ends a statement; None for what the
            server or the role says.
        lease: seconds after which a lease is taken over whose holder gives no sign of life.
    """

    def __init__(
        self,
        url: str,
        enqueue: Enqueue,
        publish: Publish | None = None,
        *,
        pool_size: int = 10,
        statement_timeout: float | None = None,
        lease: float = leases.LIFETIME,
    ) -> None:
        self.lease = lease
        # Sent as a connection opens, so that transactions need not set it.
        self._server_settings = (
            {"statement_timeout": str(int(statement_timeout * 1000))} if statement_timeout else {}
        )
        self._engine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=True,
            # Errors reach the log and the collector of traces; what is in rows must not.
            hide_parameters=True,
            connect_args={"server_settings": self._server_settings},
        )
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)
        self._readers: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()
        self._pool_size = pool_size
        self._enqueue = enqueue
        self._publish = publish
        self._completing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def work(self, tenant_id: UUID | None) -> AsyncIterator[Work]:
        """Open one transaction that sees one tenant, commit it, then hand over its jobs and events.

        Without a tenant only the list of tenants can be read. An error inside rolls back and
        discards both. A session serves one task: concurrent tasks open one each.
        """
        with tracing.span("database work"):
            # Leaving the session rolls back what is not committed.
            async with self._sessions() as session:
                # Local to the transaction, so that a pooled connection never carries it on.
                await session.execute(SET_TENANT, {"tenant_id": str(tenant_id or "")})
                work = Work(session, tenant_id)
                yield work
                await self._complete(work)

    async def _complete(self, work: Work) -> None:
        """Commit and follow up: both or neither, whoever cancels meanwhile."""
        over = asyncio.Event()

        async def complete() -> None:
            try:
                await work.session.commit()
            finally:
                over.set()
            await self._follow_up(work)

        completing = asyncio.create_task(complete())
        self._completing.add(completing)
        completing.add_done_callback(self._completing.discard)
        try:
            await asyncio.shield(completing)
        except asyncio.CancelledError:
            # Until the commit is over the session is in use.
            while not over.is_set():
                with suppress(asyncio.CancelledError):
                    await over.wait()
            raise

    @asynccontextmanager
    async def read(self, tenant_id: UUID) -> AsyncIterator[Reading]:
        """Open one transaction that sees one tenant and changes nothing.

        For what runs in every request: it knows ``Statement``s alone, and costs half of ``work``.
        """
        pool = self._readers or await self._open_readers()
        with tracing.span("database read"):
            async with pool.acquire(timeout=ACQUIRED_WITHIN) as connection:
                try:
                    # Local to the transaction, as in ``work``; hexadecimal digits need no quoting.
                    await connection.execute(
                        "BEGIN READ ONLY; "
                        f"SELECT set_config('app.tenant_id', '{tenant_id.hex}', true)"
                    )
                    yield Reading(connection, tenant_id)
                finally:
                    if not connection.is_closed():
                        await connection.execute("ROLLBACK")

    async def _open_readers(self) -> "asyncpg.Pool[asyncpg.Record]":
        async with self._opening:
            if self._readers is None:
                self._readers = await asyncpg.create_pool(
                    **self._driver_options(),
                    server_settings=self._server_settings,
                    min_size=0,
                    max_size=self._pool_size,
                    init=_read_json,
                    reset=_leave,
                )
        return self._readers

    @asynccontextmanager
    async def listen(self, channel: str) -> AsyncIterator[AsyncIterator[str]]:
        """Hear what PostgreSQL is told to notify on a channel, whatever the tenant.

        Over a connection of its own. What is heard ends when that is lost; what was notified
        before the block begins is not heard.
        """
        heard: asyncio.Queue[str | None] = asyncio.Queue()
        connection = await asyncpg.connect(**self._driver_options())
        try:
            connection.add_termination_listener(lambda _: heard.put_nowait(None))
            await connection.add_listener(
                channel, lambda _connection, _pid, _channel, payload: heard.put_nowait(payload)
            )

            async def payloads() -> AsyncIterator[str]:
                while (payload := await heard.get()) is not None:
                    yield payload

            yield payloads()
        finally:
            # Not in order, which could wait for a server that is gone.
            connection.terminate()

    def _driver_options(self) -> dict[str, Any]:
        """What the driver connects with, as the engine does."""
        _, options = self._engine.dialect.create_connect_args(self._engine.url)
        # SQLAlchemy's own. Where a pooler keeps it from preparing statements by name, the driver
        # must not either.
        options.pop("prepared_statement_name_func", None)
        if options.pop("prepared_statement_cache_size", None) == 0:
            options["statement_cache_size"] = 0
        return dict(options)

    async def _follow_up(self, work: Work) -> None:
        if work.jobs:
            await self._hand_over(work.jobs)
        if work.events and self._publish:
            await self._tell(self._publish, work)

    async def _hand_over(self, jobs: Sequence[Job]) -> None:
        try:
            await self._enqueue(jobs)
        except Exception:
            # The data is committed, so the caller succeeded; the sweep finds what was lost.
            logger.exception("could not enqueue %s", ", ".join(job.function for job in jobs))

    @staticmethod
    async def _tell(publish: Publish, work: Work) -> None:
        try:
            await publish(work.tenant_id, work.events)
        except Exception:
            # At most once: listeners read anew when they are connected again.
            logger.exception("could not publish %s", ", ".join(one.topic for one in work.events))

    def exclusive(
        self, tenant_id: UUID, purpose: str, *, wait: float = 0.0
    ) -> AbstractAsyncContextManager[Held]:
        """Hold the tenant's lease of that purpose over any number of transactions.

        Waits up to ``wait`` seconds for it; see ``domain.leases.exclusive`` for what it raises. The
        lease of a process that was killed lasts ``lease`` seconds at most.
        """
        return leases.exclusive(self.work, tenant_id, purpose, self.lease, wait)

    async def refuse_unsafe_role(self) -> None:
        """Check that row-level security binds this role.

        Raises:
            UnsafeRoleError: the role is a superuser, bypasses row-level security or owns tables.
        """
        async with self._engine.connect() as connection:
            if await connection.scalar(UNSAFE_ROLE):
                name = await connection.scalar(text("SELECT current_user"))
                raise UnsafeRoleError(
                    f"DATABASE_URL connects as {name!r}, which could bypass row-level security; "
                    "use a role that is no superuser, lacks BYPASSRLS and owns no tables"
                )

    async def revision(self) -> str | None:
        """The migration the database stands at; None before the first."""
        async with self._engine.connect() as connection:
            if await connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
                return None
            revision: Any = await connection.scalar(text("SELECT version_num FROM alembic_version"))
            return None if revision is None else str(revision)

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*self._completing, return_exceptions=True)
        if self._readers is not None:
            await self._readers.close()
        await self._engine.dispose()

    # For bulk loading, which needs the driver's COPY on the session's own connection.
    @staticmethod
    async def driver_connection(session: AsyncSession) -> Any:
        """The asyncpg connection under a session, in the session's transaction."""
        connection = await session.connection()
        raw = await connection.get_raw_connection()
        return raw.driver_connection


async def _read_json(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Have JSON come as values, as the engine's connections do."""
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads
    )


async def _leave(_connection: object) -> None:
    """Leave a connection as it is: what a reading transaction set ended with it."""
