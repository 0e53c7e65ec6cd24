"""Lists over the driver alone are those over SQLAlchemy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.asyncpg import dialect

import runtime
from domain.contract.vocabulary import Role
from domain.core import driver
from domain.core.database import Database
from domain.core.errors import DomainError
from domain.members import members
from domain.members.members import MemberInput
from domain.tenants import tenants
from domain.tenants.tenants import Tenant
from domain.users import quick_lists, users


async def test_users_are_the_tenants_own(
    services: runtime.Services, database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    for one, named in ((tenant, "ann"), (other_tenant, "eve")):
        async with database.work(one.id) as work:
            items = [
                MemberInput(
                    external_id=f"{named}-2", email=f"{named}@example.com", role=Role.ADMIN
                ),
                MemberInput(external_id=f"{named}-1", name="Zoë", active=False),
            ]
            await members.upsert(work, items)
    async with driver.connect(services.database_url) as connection:
        found = await quick_lists.users(connection, tenant.slug)
        with pytest.raises(DomainError, match="No such tenant: 'nobody'"):
            await quick_lists.users(connection, "nobody")
    async with database.work(tenant.id) as work:
        expected = await users.list_all(work)
    assert [one["external_id"] for one in found] == ["ann-1", "ann-2"]
    assert found == [{name: getattr(one, name) for name in found[0]} for one in expected]


async def test_tenants_are_all_there_are(
    services: runtime.Services, database: Database, tenant: Tenant
) -> None:
    async with driver.connect(services.database_url) as connection:
        found = await quick_lists.tenants(connection)
        assert await driver.revision(connection) == runtime.latest_revision()
    async with database.work(None) as work:
        expected = await tenants.list_all(work)
    assert tenant.slug in [one["slug"] for one in found]
    assert found == [{name: getattr(one, name) for name in found[0]} for one in expected]


async def test_a_role_that_could_read_all_is_refused(services: runtime.Services) -> None:
    assert services.migration_database_url is not None
    async with driver.connect(services.migration_database_url) as connection:
        with pytest.raises(driver.UnsafeRoleError, match="twin_owner"):
            await driver.refuse_unsafe_role(connection)


NAMES = st.text("abcXYZ09%20-_.~", min_size=1, max_size=8)
WORDS = st.text("abcXYZ09%20-_.~#?/[]+", min_size=1, max_size=8)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+asyncpg://app:p%40ss%2Fword@db.example:6432/twin",
        "postgresql+asyncpg://app@/twin?host=/tmp/sockets&port=5432",
        "postgresql+asyncpg://app@/twin?host=/tmp/a%20socket",
        "postgresql+asyncpg://app@[::1]:5432/twin",
        "postgresql+asyncpg://db/twin?ssl=require&prepared_statement_cache_size=0",
        "postgresql+asyncpg://app@/twin?host=a:1&host=b:2",
        "postgresql+asyncpg://app@/twin?host=a,b&port=1,2",
        "postgresql+asyncpg://app@/twin?host=a:1",
        "postgresql+asyncpg:///twin",
        "postgresql+asyncpg://app@db",
        "postgresql+asyncpg://app:p#ss/w?rd@db:5432/twin",
        "postgresql+asyncpg://app:[p]@db/twin",
        "postgresql+asyncpg://app:p@ss@db/twin",
        "postgresql+asyncpg://app@DB/a%20twin",
    ],
)
def test_a_url_means_what_it_means_to_sqlalchemy(url: str) -> None:
    assert driver.options(url) == known_options(url)


@given(NAMES, WORDS, st.none() | st.integers(1, 65535))
def test_names_and_passwords_mean_what_they_mean_to_sqlalchemy(
    user: str, password: str, port: int | None
) -> None:
    url = f"postgresql+asyncpg://{user}:{password}@db{f':{port}' if port else ''}/twin"
    assert driver.options(url) == known_options(url)


def known_options(url: str) -> dict[str, object]:
    _, found = dialect().create_connect_args(make_url(url))  # type: ignore[no-untyped-call]
    return driver.without_engine_options(found)
