"""A user who is forgotten while what it acted on is deleted."""

import asyncio

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import create_async_engine

import runtime
from domain.contract.vocabulary import InteractionKind
from domain.core.database import Database
from domain.interactions.interactions import Interaction
from domain.members import members
from domain.properties import table
from domain.tenants.tenants import Tenant
from tests.factories import add_interaction, add_property, add_user, build_town
from tests.waiting import until_waiting


async def test_a_user_who_acted_on_more_than_a_statement_has_parameters_is_forgotten(
    services: runtime.Services, database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    """While PostgreSQL's statistics know of other tenants alone."""
    await build_town(database, other_tenant)
    engine = create_async_engine(str(services.migration_database_url))
    async with engine.begin() as connection:
        await connection.execute(text("ANALYZE properties, interactions"))
    await engine.dispose()
    async with database.work(tenant.id) as work:
        user = await add_user(work)
        for statement in (
            "INSERT INTO properties (tenant_id, external_id)"
            " SELECT :tenant, n FROM generate_series(1, 33000) AS n",
            "INSERT INTO interactions (tenant_id, user_id, property_id, kind, occurred_at)"
            " SELECT :tenant, :user, id, 'VIEW', now() FROM properties",
        ):
            named = {"tenant": tenant.id, "user": user.id}
            await work.session.execute(text(statement), named)
    async with database.work(tenant.id) as work:
        await members.remove(work, user.id)
        assert await work.session.scalar(select(func.count()).select_from(Interaction)) == 0


async def test_a_user_and_what_it_acted_on_may_be_deleted_at_once(
    database: Database, tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        user, house = await add_user(work), await add_property(work)
        await add_interaction(work, user.id, house.id, InteractionKind.SAVE)

    async def delete_house() -> None:
        async with database.work(tenant.id) as work:
            await table.remove(work, house.id)

    async def delete_user() -> None:
        async with database.work(tenant.id) as work:
            await members.remove(work, user.id)

    async with database.work(tenant.id) as work:
        # Who deletes the house marks its investors before it deletes what they did, and waits.
        await work.session.execute(text("LOCK TABLE index_marks IN SHARE MODE"))
        deleting = asyncio.create_task(delete_house())
        await until_waiting(database, 1)
        forgetting = asyncio.create_task(delete_user())
        await until_waiting(database, 2)
    await asyncio.gather(deleting, forgetting)
    async with database.work(tenant.id) as work:
        assert await work.session.scalar(select(func.count()).select_from(Interaction)) == 0
