"""What a process holds of properties catches up: when a change is heard of, and now and then."""

import asyncio
from collections import Counter
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.core.database import Database
from domain.jobs.property_log import CHANNEL
from domain.properties.following import following
from domain.properties.input import PropertyInput
from domain.properties.upsert import upsert
from domain.tenants.tenants import Tenant
from tests.waiting import until

NEVER = 3600.0
_CUT = text(
    f"""
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user
    AND query LIKE 'LISTEN "{CHANNEL}"%'
    """
)


class Noting:
    """Stands for a process that holds properties of some tenants."""

    def __init__(self, *tenants: UUID) -> None:
        self._tenants = set(tenants)
        self.begun: Counter[UUID] = Counter()
        self.done: Counter[UUID] = Counter()
        self.free = {tenant_id: asyncio.Event() for tenant_id in tenants}
        """Cleared, catching up with the tenant does not end."""
        for event in self.free.values():
            event.set()

    def tenants(self) -> set[UUID]:
        return self._tenants

    async def catch_up(self, tenant_id: UUID) -> None:
        assert self.begun[tenant_id] == self.done[tenant_id], "two at once"
        self.begun[tenant_id] += 1
        await self.free[tenant_id].wait()
        self.done[tenant_id] += 1


async def change(database: Database, tenant: Tenant, city: str) -> None:
    async with database.work(tenant.id) as work:
        await upsert(work, [PropertyInput(external_id="A", city=city)])


def listens(noting: Noting) -> bool:
    """Whether all caught up as it began to listen."""
    return all(noting.done[one] == 1 for one in noting.tenants())


async def test_a_commit_is_followed_by_those_it_concerns(
    database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    noting = Noting(tenant.id, other_tenant.id)
    async with following(database, noting, look_every=NEVER):
        await until(lambda: listens(noting))
        async with database.work(tenant.id) as work:
            await upsert(work, [PropertyInput(external_id="A")])
            # Heard in the order of the commits.
            await change(database, other_tenant, "Kent")
            await until(lambda: noting.done[other_tenant.id] == 2)
            assert noting.begun[tenant.id] == 1
        await until(lambda: noting.done[tenant.id] == 2)
        assert noting.begun[other_tenant.id] == 2


async def test_changes_during_a_slow_catch_up_make_one_more_and_delay_no_other(
    database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    noting = Noting(tenant.id, other_tenant.id)
    async with following(database, noting, look_every=NEVER):
        await until(lambda: listens(noting))
        noting.free[tenant.id].clear()
        for city in ("Kent", "Lynden", "Bothell", "Seattle"):
            await change(database, tenant, city)
        await change(database, other_tenant, "Kent")
        await until(lambda: noting.done[other_tenant.id] == 2)
        assert noting.begun[tenant.id] == 2
        noting.free[tenant.id].set()
        await until(lambda: noting.done[tenant.id] == 3)
        await change(database, other_tenant, "Lynden")
        await until(lambda: noting.done[other_tenant.id] == 3)
        assert noting.begun[tenant.id] == 3


async def test_all_catch_up_when_a_lost_connection_is_replaced(
    database: Database, tenant: Tenant
) -> None:
    noting = Noting(tenant.id)
    async with following(database, noting, look_every=NEVER, listen_again_after=0.01):
        await until(lambda: listens(noting))
        async with database.work(None) as work:
            assert await work.session.scalar(_CUT)
        await until(lambda: noting.done[tenant.id] == 2)
        await change(database, tenant, "Kent")
        await until(lambda: noting.done[tenant.id] == 3)


async def test_all_catch_up_now_and_then_without_hearing_anything(
    tenant: Tenant, other_tenant: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    async def nothing(_: object) -> None:
        """No jobs here."""

    noting = Noting(tenant.id, other_tenant.id)
    nowhere = Database("postgresql+asyncpg://twin@127.0.0.1:9/twin", nothing)
    async with following(nowhere, noting, look_every=0.01, listen_again_after=0.01):
        await until(lambda: all(noting.done[one] > 3 for one in noting.tenants()))
        await until(lambda: "cannot listen to property_log" in caplog.text)
    await nowhere.close()


async def test_a_failure_is_logged_and_tried_again(
    database: Database, tenant: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Noting):
        async def catch_up(self, tenant_id: UUID) -> None:
            await super().catch_up(tenant_id)
            raise ConnectionError("no answer")

    noting = Failing(tenant.id)
    async with following(database, noting, look_every=NEVER):
        await until(lambda: listens(noting))
        await change(database, tenant, "Kent")
        await until(lambda: noting.done[tenant.id] == 2)
    assert caplog.text.count(f"tenant {tenant.id} could not catch up") == 2


async def test_nothing_goes_on_after_the_block(database: Database, tenant: Tenant) -> None:
    noting = Noting(tenant.id)
    noting.free[tenant.id].clear()
    async with following(database, noting, look_every=NEVER):
        await until(lambda: noting.begun[tenant.id])
    noting.free[tenant.id].set()
    await asyncio.sleep(0)
    assert (noting.begun[tenant.id], noting.done[tenant.id]) == (1, 0)
