"""Leases: what only one may do at a time, for as long as the database hears from the one."""

import asyncio
import multiprocessing
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from uuid import UUID

import pytest
from sqlalchemy import select, text

import runtime
from domain.core.database import Database
from domain.core.errors import DomainError
from domain.core.leases import Lease, LockedError, LostLeaseError
from domain.core.work import Job
from domain.tenants import tenants
from domain.tenants.tenants import Tenant

EXPIRE = text("UPDATE leases SET expires_at = clock_timestamp() - interval '1 second'")
TAKE_OVER = text("UPDATE leases SET holder_id = gen_random_uuid()")


async def nothing(_: Sequence[Job]) -> None: ...


async def expire(database: Database, tenant: Tenant) -> None:
    """What the database sees of holders that gave no sign of life for a lifetime."""
    async with database.work(tenant.id) as work:
        await work.session.execute(EXPIRE)


async def test_leases_hold_no_connection(services: runtime.Services, tenant: Tenant) -> None:
    small = Database(services.database_url, nothing, pool_size=1)
    async with AsyncExitStack() as held, asyncio.timeout(60):
        for purpose in ("one", "two", "three", "four"):
            await held.enter_async_context(small.exclusive(tenant.id, purpose))
        async with small.work(tenant.id) as work:
            assert await work.hold_tenant()
    await small.close()


async def test_a_lease_is_of_one_tenant_and_one_purpose(
    database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    async with (
        database.exclusive(tenant.id, "one"),
        database.exclusive(tenant.id, "two"),
        database.exclusive(other_tenant.id, "one"),
    ):
        with pytest.raises(LockedError, match=f"one of tenant {tenant.id} is already going on"):
            async with database.exclusive(tenant.id, "one"):
                raise AssertionError("not reached")
    async with database.exclusive(tenant.id, "one"):
        pass


async def test_a_lease_is_renewed_while_its_holder_lives(
    services: runtime.Services, database: Database, tenant: Tenant
) -> None:
    short = Database(services.database_url, nothing, lease=6)

    async def expires_at() -> datetime | None:
        async with database.work(tenant.id) as work:
            found: datetime | None = await work.session.scalar(select(Lease.expires_at))
            return found

    async with short.exclusive(tenant.id, "one") as lease, asyncio.timeout(60):
        for _ in range(2):
            before = await expires_at()
            while await expires_at() == before:  # noqa: ASYNC110 - another task renews it
                await asyncio.sleep(0.05)
        async with short.work(tenant.id) as work:
            await lease.confirm(work)
    assert await expires_at() is None
    await short.close()


async def test_an_expired_lease_is_taken_over_and_its_holder_commits_nothing(
    services: runtime.Services, database: Database, tenant: Tenant
) -> None:
    # It renews its lease too late to notice anything.
    dead = Database(services.database_url, nothing, lease=300)
    async with AsyncExitStack() as block:
        lease = await block.enter_async_context(dead.exclusive(tenant.id, "one"))
        await expire(database, tenant)
        async with database.exclusive(tenant.id, "one") as taken:
            with pytest.raises(LostLeaseError, match="one of tenant"):
                async with database.work(tenant.id) as work:
                    (await tenants.get(work)).name = "late"
                    await lease.confirm(work)
            async with database.work(tenant.id) as work:
                await taken.confirm(work)
                assert (await tenants.get(work)).name != "late"
            # Who leaves without having noticed learns it then, and frees nothing of the other's.
            with pytest.raises(LostLeaseError):
                await block.aclose()
            async with database.work(tenant.id) as work:
                await taken.confirm(work)
    await dead.close()


async def test_a_holder_whose_lease_was_taken_over_is_interrupted(
    services: runtime.Services, database: Database, tenant: Tenant
) -> None:
    short = Database(services.database_url, nothing, lease=1.0)
    async with asyncio.timeout(60):
        with pytest.raises(LostLeaseError):
            async with short.exclusive(tenant.id, "one"):
                async with database.work(tenant.id) as work:
                    await work.session.execute(TAKE_OVER)
                await asyncio.Event().wait()
    await short.close()


async def test_a_holder_that_cannot_renew_in_time_is_interrupted(
    services: runtime.Services, database: Database, tenant: Tenant
) -> None:
    short = Database(services.database_url, nothing, lease=0.5)
    async with database.work(tenant.id) as work, asyncio.timeout(60):
        with pytest.raises(LostLeaseError):
            async with short.exclusive(tenant.id, "one"):
                # Renewals wait for this transaction, as they would for a database that is away.
                await work.session.execute(text("SELECT FROM leases FOR UPDATE"))
                await asyncio.Event().wait()
    await short.close()


async def test_an_interrupted_holder_frees_its_lease_at_once(
    database: Database, tenant: Tenant
) -> None:
    async def hold() -> None:
        async with database.exclusive(tenant.id, "one"):
            holding.set()
            await asyncio.Event().wait()

    holding = asyncio.Event()
    task = asyncio.create_task(hold())
    await holding.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with database.exclusive(tenant.id, "one"):
        pass


async def test_who_waits_goes_before_who_comes_again(database: Database, tenant: Tenant) -> None:
    order: list[str] = []

    async def again_and_again() -> None:
        while "waited" not in order:
            async with database.exclusive(tenant.id, "one", wait=20):
                order.append("again")
                first.set()
                await asyncio.sleep(0)

    async def once() -> None:
        await first.wait()
        async with database.exclusive(tenant.id, "one", wait=20):
            order.append("waited")

    first = asyncio.Event()
    async with asyncio.timeout(30):
        await asyncio.gather(again_and_again(), once())
    assert "again" in order


def count_up(url: str, tenant_id: UUID, times: int) -> None:
    """In a process of its own: read a figure, and write it back one higher, under a lease."""

    async def run() -> None:
        database = Database(url, nothing, pool_size=1)
        for _ in range(times):
            async with database.exclusive(tenant_id, "one", wait=60):
                async with database.work(tenant_id) as work:
                    found = (await tenants.get(work)).name
                async with database.work(tenant_id) as work:
                    (await tenants.get(work)).name = str(int(found) + 1)
        await database.close()

    asyncio.run(run())


async def test_processes_exclude_each_other(
    services: runtime.Services, database: Database, tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        (await tenants.get(work)).name = "0"
    context = multiprocessing.get_context("spawn")
    counting = [
        context.Process(target=count_up, args=(services.database_url, tenant.id, 5), daemon=True)
        for _ in range(2)
    ]
    for one in counting:
        one.start()
    for one in counting:
        await asyncio.to_thread(one.join, 240)
    assert [one.exitcode for one in counting] == [0, 0]
    async with database.work(tenant.id) as work:
        assert (await tenants.get(work)).name == "10"


async def test_nothing_is_held_of_a_tenant_that_does_not_exist(database: Database) -> None:
    with pytest.raises(DomainError, match="No such tenant"):
        async with database.exclusive(UUID(int=7), "one"):
            raise AssertionError("not reached")
