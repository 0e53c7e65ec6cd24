"""Nobody waits, nothing runs: cancellation down to the database's own processes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import text
from strawberry.dataloader import DataLoader

from domain.core.database import Database
from domain.tenants.tenants import Tenant


@pytest.fixture
async def own(services: Any) -> AsyncIterator[Database]:
    """A database of this test's own, of a single connection."""

    async def nobody(_: Any) -> None:
        return

    opened = Database(services.database_url, nobody, pool_size=1, statement_timeout=2.0)
    yield opened
    await opened.close()


async def sleeping(database: Database, mark: str) -> int:
    """How many backends sleep for that mark."""
    async with database.work(None) as work:
        found = await work.session.scalar(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND state = 'active' "
                "AND query LIKE 'SELECT pg_sleep%' AND query LIKE :mark"
            ),
            {"mark": f"%{mark}%"},
        )
    return int(found or 0)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


Sleeper = Callable[[Database, UUID, str], Coroutine[Any, Any, None]]


async def by_work(database: Database, tenant_id: UUID, mark: str) -> None:
    async with database.work(tenant_id) as work:
        await work.session.execute(text(f"SELECT pg_sleep(60), '{mark}'"))


async def by_read(database: Database, tenant_id: UUID, mark: str) -> None:
    async with database.read(tenant_id) as reading:
        await reading._connection.fetch(f"SELECT pg_sleep(60), '{mark}'")


async def by_loader(database: Database, tenant_id: UUID, mark: str) -> None:
    async def load(keys: list[str]) -> list[str]:
        await by_work(database, tenant_id, keys[0])
        return keys

    loader: DataLoader[str, str] = DataLoader(load)
    await asyncio.gather(loader.load(mark), loader.load("other"))


@pytest.mark.parametrize("sleep", [by_work, by_read, by_loader])
@pytest.mark.parametrize("again", [False, True])
async def test_a_cancelled_query_ends_and_leaves_nothing_behind(
    own: Database, database: Database, tenant: Tenant, sleep: Sleeper, again: bool
) -> None:
    for _ in range(3):
        mark, before = uuid4().hex, asyncio.all_tasks()
        task = asyncio.create_task(sleep(own, tenant.id, mark))

        async def sleeps(mark: str = mark) -> bool:
            return await sleeping(database, mark) == 1

        async def ended(mark: str = mark) -> bool:
            return await sleeping(database, mark) == 0

        await until(sleeps)
        task.cancel()
        if again:
            # As when the client leaves while the timeout is being dealt with.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(ended)

        async def quiet(before: set[Any] = before) -> bool:
            return asyncio.all_tasks() <= before

        await until(quiet)
    # The one connection serves on, and sees what it should.
    async with own.work(tenant.id) as work:
        seen = await work.session.scalar(text("SELECT current_setting('app.tenant_id')"))
    assert seen == str(tenant.id)
    async with own.read(tenant.id) as reading:
        connection: asyncpg.Connection[Any] = reading._connection
        assert await connection.fetchval("SELECT txid_current_if_assigned()") is None
    assert own._engine.pool.checkedout() == 0  # type: ignore[attr-defined]
