"""The engine, and the one place that opens a session."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy import URL, make_url, text
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from domain.contract import tracing
from domain.core import driver, leases
from domain.core.events import Event
from domain.core.leases import Held
from domain.core.reading import Reading
from domain.core.work import Job, Work

logger = logging.getLogger(__name__)

Enqueue = Callable[[Sequence[Job]], Awaitable[None]]
"""Hands jobs to the queue."""

Publish = Callable[[UUID, Sequence[Event]], Awaitable[None]]
"""Tells the listeners of a tenant what changed."""

STATEMENTS_KEPT = 50
"""Prepared statements that a connection keeps for sessions, and as many for what is read past them.

PostgreSQL holds each with its plans in the memory of the connection. A statement beyond costs one
more round trip. The URL's ``prepared_statement_cache_size`` goes before.
"""

RECYCLED_AFTER = 1800
"""Seconds after which a connection for units of work is replaced by a new one."""

ACQUIRED_WITHIN = 30.0
"""Seconds that a reader waits for a connection, as long as the engine lets a unit of work."""


UNNAMED_STATEMENTS: dict[str, Any] = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": lambda: "",
}
"""How to connect through a pooler in transaction mode, for which a named statement is left behind
on a connection that the next transaction of another process gets."""

PROBE = "twin_probe"
"""The channel that a process notifies as it starts, to see whether it hears itself."""

HEARD_WITHIN = 30.0
"""Seconds that this may take; usually it is a few milliseconds."""


class PoolerError(RuntimeError):
    """A pooler stands where the process needs a connection of its own."""


class Database:
    """A pool of connections of the application's role.

    Args:
        url: an SQLAlchemy URL, ``postgresql+asyncpg://...``.
        enqueue: receives the jobs of a unit of work after its commit.
        publish: receives its events then; without it nobody is told.
        direct_url: where ``listen`` connects to, if ``url`` leads to a pooler in transaction mode.
            Statements are unnamed then, unless ``url`` says ``prepared_statement_cache_size``.
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
        direct_url: str | None = None,
        pool_size: int = 10,
        statement_timeout: float | None = None,
        lease: float = leases.LIFETIME,
    ) -> None:
        self.lease = lease
        # Set for each transaction: a pooler refuses settings as a connection opens.
        set_tenant = "SELECT set_config('app.tenant_id', {}, true)"
        if statement_timeout:
            milliseconds = int(statement_timeout * 1000)
            set_tenant += f", set_config('statement_timeout', '{milliseconds}', true)"
        self._set_tenant = text(set_tenant.format(":tenant_id"))
        self._begin_reading = f"BEGIN READ ONLY; {set_tenant}"
        self._direct_url = make_url(direct_url) if direct_url else None
        size = "prepared_statement_cache_size"
        usual = 0 if direct_url else STATEMENTS_KEPT
        address = make_url(url)
        address = address.set(query={size: str(usual), **address.query})
        self._statements_kept = int(str(address.query[size]))
        self._engine = create_async_engine(
            address,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=True,
            # What a connection has gathered in PostgreSQL's memory goes with it. The driver's pool
            # for reading does so of its own accord.
            pool_recycle=RECYCLED_AFTER,
            # Errors reach the log and the collector of traces; what is in rows must not.
            hide_parameters=True,
            connect_args={"statement_cache_size": self._statements_kept}
            if self._statements_kept
            else UNNAMED_STATEMENTS,
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
                await session.execute(self._set_tenant, {"tenant_id": str(tenant_id or "")})
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
    async def read(self, tenant_id: UUID | None) -> AsyncIterator[Reading]:
        """Open one transaction that sees one tenant and changes nothing.

        Without a tenant only the list of tenants can be read.
        For what runs in every request: it knows ``Statement``s alone, and costs half of ``work``.
        """
        pool = self._readers or await self._open_readers()
        # Hexadecimal digits need no quoting.
        begin = self._begin_reading.format(f"'{tenant_id.hex if tenant_id else ''}'")
        with tracing.span("database read"):
            async with pool.acquire(timeout=ACQUIRED_WITHIN) as connection:
                try:
                    await connection.execute(begin)
                    yield Reading(connection, tenant_id)
                finally:
                    if not connection.is_closed():
                        await connection.execute("ROLLBACK")

    async def _open_readers(self) -> "asyncpg.Pool[asyncpg.Record]":
        async with self._opening:
            if self._readers is None:
                self._readers = await asyncpg.create_pool(
                    **self._driver_options(self._engine.url, self._statements_kept),
                    min_size=0,
                    max_size=self._pool_size,
                    init=_read_json,
                    reset=_leave,
                )
        return self._readers

    @asynccontextmanager
    async def listen(self, channel: str) -> AsyncIterator[AsyncIterator[str]]:
        """Hear what PostgreSQL is told to notify on a channel, whatever the tenant.

        Over a connection of its own, past a pooler if there is one. What is heard ends when that is
        lost; what was notified before the block begins is not heard.
        """
        heard: asyncio.Queue[str | None] = asyncio.Queue()
        connection = await asyncpg.connect(
            **self._driver_options(self._direct_url or self._engine.url, 0)
        )
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

    def _driver_options(self, url: URL, statements_kept: int) -> dict[str, Any]:
        """What the driver connects with, as the engine does."""
        _, options = self._engine.dialect.create_connect_args(url)
        found = driver.without_engine_options(options)
        return found | {"statement_cache_size": statements_kept}

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

        Waits up to ``wait`` seconds for it; see ``domain.core.leases.exclusive`` for what it
        raises. The lease of a process that was killed lasts ``lease`` seconds at most.
        """
        return leases.exclusive(self.work, tenant_id, purpose, self.lease, wait)

    async def refuse_pooler(self) -> None:
        """Check that what is notified is heard, as over a pooler in transaction mode it is not.

        Uses nothing that such a pooler would break, so that it can come first.

        Raises:
            PoolerError: it is not heard.
        """
        word = uuid4().hex
        async with self.listen(PROBE) as payloads:
            connection = await asyncpg.connect(**self._driver_options(self._engine.url, 0))
            try:
                await connection.execute(f"NOTIFY {PROBE}, '{word}'")
            finally:
                connection.terminate()
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARD_WITHIN):
                    async for payload in payloads:
                        if payload == word:
                            return
        if self._direct_url is None:
            raise PoolerError(
                "DATABASE_URL leads to a connection pooler in transaction mode, over which nothing "
                "that PostgreSQL notifies is heard; set DATABASE_DIRECT_URL to a URL that goes "
                "past it"
            )
        raise PoolerError(
            "what is notified over DATABASE_URL is not heard over DATABASE_DIRECT_URL; set that to "
            "a URL of the same database that goes past any connection pooler in transaction mode"
        )

    async def refuse_unsafe_role(self) -> None:
        """Check that row-level security binds this role.

        Raises:
            driver.UnsafeRoleError: the role is a superuser, bypasses row-level security or owns
                tables.
        """
        async with self._engine.connect() as connection:
            await driver.refuse_unsafe_role(await _driver_of(connection))

    async def revision(self) -> str | None:
        """The migration the database stands at; None before the first."""
        async with self._engine.connect() as connection:
            return await driver.revision(await _driver_of(connection))

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
        return await _driver_of(await session.connection())


async def _driver_of(connection: AsyncConnection) -> Any:
    return (await connection.get_raw_connection()).driver_connection


async def _read_json(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Have JSON come as values, as the engine's connections do."""
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads
    )


async def _leave(_connection: object) -> None:
    """Leave a connection as it is: what a reading transaction set ended with it."""
