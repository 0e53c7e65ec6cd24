"""Old changes are deleted, and their imports cannot be undone any more."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, text

from domain.changes.changes import Change
from domain.core.database import Database
from domain.core.errors import DomainError
from domain.imports import purging, record
from domain.imports.report import ImportReport
from domain.imports.undo import undo
from domain.tenants import policies
from domain.tenants.tenants import Tenant

Load = Callable[..., Awaitable[ImportReport]]


async def age(database: Database, tenant: Tenant, days: float) -> None:
    """Have everything that is kept be so much older."""
    async with database.work(tenant.id) as work:
        for table in ("changes", "imports"):
            older = text(f"UPDATE {table} SET created_at = created_at - CAST(:days AS interval)")
            await work.session.execute(older, {"days": timedelta(days=days)})


async def kept(database: Database, tenant: Tenant) -> int:
    async with database.work(tenant.id) as work:
        return await work.session.scalar(select(func.count()).select_from(Change)) or 0


async def is_due(database: Database, tenant: Tenant) -> bool:
    async with database.work(tenant.id) as work:
        return await purging.due(work, datetime.now(UTC))


async def test_what_is_older_than_the_policy_is_deleted_in_batches(
    database: Database, tenant: Tenant, other_tenant: Tenant, load: Load
) -> None:
    for of in (tenant, other_tenant):
        await load("external_id,bedrooms\n" + "".join(f"{n},1\n" for n in range(7)), into=of)
        await load("external_id,bedrooms\n" + "".join(f"{n},2\n" for n in range(7)), into=of)
        await age(database, of, 29)
    assert not await is_due(database, tenant)
    assert await purging.purge(database, tenant.id) == 0
    await age(database, tenant, 1.1)
    last = await load("external_id,bedrooms\n0,3\n")
    assert await is_due(database, tenant)
    assert await purging.purge(database, tenant.id, batch=3) == 8
    assert (await kept(database, tenant), await kept(database, other_tenant)) == (1, 8)
    assert not await is_due(database, tenant)

    async with database.work(tenant.id) as work:
        newest, *older = await record.page(work)
        assert (newest.id, newest.purged_at) == (last.import_id, None)
        assert [one.purged_at is None for one in older] == [False, False]
        assert (await undo(work, None, "test")).properties_reverted == 1
        with pytest.raises(DomainError, match=r"is too old.*changes_days"):
            await undo(work, None, "test")
    async with database.work(other_tenant.id) as work:
        assert (await undo(work, None, "test")).properties_reverted == 7


async def test_a_tenant_says_for_how_long(database: Database, tenant: Tenant, load: Load) -> None:
    await load("external_id\nA\n")
    await age(database, tenant, 5)
    async with database.work(tenant.id) as work:
        await policies.change(work, {"changes_days": 6})
    assert await purging.purge(database, tenant.id) == 0
    async with database.work(tenant.id) as work:
        await policies.change(work, {"changes_days": 0})
    assert await purging.purge(database, tenant.id) == 1
