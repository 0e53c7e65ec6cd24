"""Reading on the driver is bound to one tenant, as a unit of work is."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import (
    ARRAY,
    Uuid,
    any_,
    func,
    insert,
    literal_column,
    make_url,
    select,
    table,
    text,
)

import runtime
from domain.contract.vocabulary import EXCLUDING, InteractionKind, PropertyType
from domain.core import database as database_module
from domain.core.database import Database, PoolerError
from domain.core.reading import Statement, parameter
from domain.interactions import histories
from domain.properties.table import Property
from domain.tenants.tenants import Tenant
from domain.users.users import User
from tests.factories import add_interaction, add_property, add_user

USERS = Statement(select(User.id).order_by(User.id))
TENANT = Statement(select(func.current_setting("app.tenant_id", True)))
SLOW = Statement(select(func.pg_sleep(30)))
BACKEND = Statement(select(func.pg_backend_pid()))
TERMINATE = Statement(select(func.pg_terminate_backend(func.pg_backend_pid())))


PREPARED = Statement(select(func.count()).select_from(table("pg_prepared_statements")))
TIMEOUT = Statement(select(func.current_setting("statement_timeout")))


async def nothing(jobs: object) -> None:
    raise AssertionError(f"unexpected jobs: {jobs}")


@pytest.fixture
async def narrow(services: runtime.Services) -> Database:
    """A database of one connection only, so that each use follows upon the one before."""
    return Database(services.database_url, nothing, pool_size=1)


async def test_only_the_tenants_rows_are_read(
    database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        user = await add_user(work)
    async with database.read(tenant.id) as reading:
        assert [row[0] for row in await reading.fetch(USERS)] == [user.id]
        assert reading.tenant_id == tenant.id
    async with database.read(other_tenant.id) as reading:
        assert await reading.fetch(USERS) == []


async def test_investors_are_those_of_the_tenant(
    database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        user, house = await add_user(work), await add_property(work)
        await add_interaction(work, user.id, house.id, InteractionKind.DEAL)
    async with database.read(tenant.id) as reading:
        found = await histories.investors(reading, [user.id, uuid4()])
        assert list(found.histories) == [user.id]
        assert found.histories[user.id].properties.ids == (house.id,)
        assert list(await histories.excluded(reading, user.id, EXCLUDING)) == [house.id]
    async with database.read(other_tenant.id) as reading:
        assert (await histories.investors(reading, [user.id])).histories == {}
        assert await histories.excluded(reading, user.id, EXCLUDING) == {}


async def test_one_connection_serves_tenants_in_turn(
    narrow: Database, database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    ids: dict[UUID, UUID] = {}
    for one in (tenant, other_tenant):
        async with database.work(one.id) as work:
            ids[one.id] = (await add_user(work)).id
    backends = set()
    for one in (tenant, other_tenant, tenant):
        async with narrow.read(one.id) as reading:
            backends.add((await reading.fetch(BACKEND))[0][0])
            assert [row[0] for row in await reading.fetch(USERS)] == [ids[one.id]]
    assert len(backends) == 1
    await narrow.close()


async def test_the_tenant_goes_with_the_transaction(narrow: Database, tenant: Tenant) -> None:
    async with narrow.read(tenant.id) as reading:
        ((during,),) = await reading.fetch(TENANT)
        connection = reading._connection
        assert UUID(during) == tenant.id
        await connection.execute("ROLLBACK")
        ((after,),) = await reading.fetch(TENANT)
        assert after == ""
        assert await reading.fetch(USERS) == []
    await narrow.close()


async def test_nothing_can_be_written(database: Database, tenant: Tenant) -> None:
    change = Statement(
        select(literal_column("1")).add_cte(
            insert(User)
            .values(tenant_id=tenant.id, external_id="x", role="viewer")
            .returning(User.id)
            .cte("written")
        )
    )
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with database.read(tenant.id) as reading:
            await reading.fetch(change)


async def test_a_connection_is_of_use_after_a_cancellation(
    narrow: Database, tenant: Tenant
) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2), narrow.read(tenant.id) as reading:
            await reading.fetch(SLOW)
    async with asyncio.timeout(60), narrow.read(tenant.id) as reading:
        assert await reading.fetch(USERS) == []
    await narrow.close()


async def test_a_lost_connection_is_replaced(narrow: Database, tenant: Tenant) -> None:
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        async with narrow.read(tenant.id) as reading:
            await reading.fetch(TERMINATE)
    async with narrow.read(tenant.id) as reading:
        assert await reading.fetch(USERS) == []
    await narrow.close()


async def test_a_unit_of_work_runs_the_same_statements(
    database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        # Not written yet when the statement is run.
        work.session.add(User(tenant_id=tenant.id, external_id="new", role="viewer"))
        assert len(await work.fetch(USERS)) == 1
    async with database.work(other_tenant.id) as work:
        assert await work.fetch(USERS) == []


async def test_values_are_named_or_fixed(database: Database, tenant: Tenant) -> None:
    async with database.work(tenant.id) as work:
        house = await add_property(work, property_type=PropertyType.SINGLE_FAMILY, bedrooms=3)
        condo = await add_property(work, property_type=PropertyType.CONDO, bedrooms=3)
        await add_property(work, property_type=PropertyType.LAND, bedrooms=3)
    wanted = Statement(
        select(Property.id).where(
            Property.id == any_(parameter("ids", ARRAY(Uuid()))),
            Property.property_type.in_((PropertyType.SINGLE_FAMILY, PropertyType.CONDO)),
            Property.bedrooms >= 3,
        )
    )
    async with database.read(tenant.id) as reading:
        assert [row[0] for row in await reading.fetch(wanted, ids=[condo.id])] == [condo.id]
        both = await reading.fetch(wanted, ids=[house.id, condo.id])
    assert {row[0] for row in both} == {house.id, condo.id}


@pytest.mark.parametrize(("size", "kept"), [(0, 0), (50, 2)])
async def test_a_pooler_of_connections_can_do_without_prepared_statements(
    services: runtime.Services, tenant: Tenant, size: int, kept: int
) -> None:
    url = make_url(services.database_url).update_query_dict(
        {"prepared_statement_cache_size": str(size)}
    )
    database = Database(url.render_as_string(hide_password=False), nothing, pool_size=1)
    async with database.read(tenant.id) as reading:
        assert await reading.fetch(USERS) == []
        assert (await reading.fetch(PREPARED))[0][0] == kept
    async with database.work(tenant.id) as work:
        assert await work.fetch(USERS) == []
    await database.close()


async def test_behind_a_pooler_no_statement_has_a_name(
    services: runtime.Services, tenant: Tenant
) -> None:
    url = services.database_url
    database = Database(url, nothing, direct_url=url, pool_size=1)
    async with database.read(tenant.id) as reading:
        assert await reading.fetch(USERS) == []
        assert (await reading.fetch(PREPARED))[0][0] == 0
    async with database.work(tenant.id) as work:
        assert list(await work.session.scalars(select(User))) == []
        assert await work.fetch(USERS) == []
        assert (await work.fetch(PREPARED))[0][0] == 0
    await database.close()


async def test_a_direct_url_of_another_database_is_refused(
    services: runtime.Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "HEARD_WITHIN", 1.0)
    url = make_url(services.database_url).set(database="postgres")
    database = Database(
        services.database_url, nothing, direct_url=url.render_as_string(hide_password=False)
    )
    with pytest.raises(PoolerError, match="DATABASE_DIRECT_URL"):
        await database.refuse_pooler()
    await database.close()


@pytest.mark.parametrize(("given", "found"), [(None, "7s"), (3, "3s")])
async def test_without_a_timeout_that_of_the_role_holds(
    services: runtime.Services,
    database: Database,
    tenant: Tenant,
    given: float | None,
    found: str,
) -> None:
    # In this process's database alone: the role is of all.
    role = f'ALTER ROLE CURRENT_USER IN DATABASE "{make_url(services.database_url).database}"'
    async with database.work(None) as work:
        await work.session.execute(text(f"{role} SET statement_timeout = '7s'"))
    try:
        opened = Database(services.database_url, nothing, pool_size=1, statement_timeout=given)
        async with opened.read(tenant.id) as reading:
            assert (await reading.fetch(TIMEOUT))[0][0] == found
        async with opened.work(tenant.id) as work:
            assert (await work.fetch(TIMEOUT))[0][0] == found
        await opened.close()
    finally:
        async with database.work(None) as work:
            await work.session.execute(text(f"{role} RESET statement_timeout"))


@pytest.mark.parametrize("values", [{}, {"id": None}, {"ids": [], "idz": 1}])
async def test_a_statement_gets_the_values_that_it_names(values: dict[str, Any]) -> None:
    statement = Statement(
        select(Property.id).where(Property.id == any_(parameter("ids", ARRAY(Uuid()))))
    )
    assert statement.arguments({"ids": []}) == [[]]
    with pytest.raises(KeyError, match="id"):
        statement.arguments(values)
