"""How a command gets at the services: it opens the runtime, works, and closes it again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar
from uuid import UUID, uuid4

import typer

import settings
from cli.console import say

if TYPE_CHECKING:
    from domain.core.database import Database
    from domain.core.driver import Connection
    from domain.core.work import Work
    from runtime import Runtime, Services

Result = TypeVar("Result")

TenantOption = Annotated[str, typer.Option("--tenant", help="Slug of the tenant.")]
VersionArgument = Annotated[int, typer.Argument(min=1, help="Number of the version.")]
SupervisedOption = Annotated[
    bool, typer.Option("--supervised", hidden=True, help="End when stdin, a pipe, is closed.")
]


def start_services() -> tuple[settings.Settings, "Services"]:
    """The settings and the services; embedded ones are started and migrated."""
    import runtime

    loaded = settings.load()
    found = runtime.services(loaded)
    if found.embedded:
        runtime.migrate(found)
    return loaded, found


def keep_services(loaded: settings.Settings, found: "Services") -> None:
    """Bring embedded services back whose keeper was killed; the keeper sees to all else.

    Raises:
        embedded.EmbeddedError: a service keeps crashing or cannot start any more.
    """
    if not found.embedded:
        return
    import embedded
    import runtime

    known = embedded.status(loaded.data_dir)
    for service in known.values():
        if service.state is embedded.ServiceState.FAILED:
            raise embedded.EmbeddedError(service.last_error or f"{service.name} failed")
    if not known:
        say("twin: the services' keeper is gone; they are started again", err=True)
        runtime.services(loaded)


def run(body: Callable[["Runtime"], Awaitable[Result]]) -> Result:
    """Run the body on an open runtime.

    Raises:
        SettingsError: the database is not at the newest migration.
    """
    import runtime

    loaded, found = start_services()

    async def connected() -> Result:
        async with runtime.connect(loaded, found) as rt:
            await _require_migrated(rt.database)
            return await body(rt)

    return asyncio.run(connected())


def run_on_database(body: Callable[["Database", "Services"], Awaitable[Result]]) -> Result:
    """Run the body on the database alone, which is there sooner than a runtime.

    Raises:
        SettingsError: the database is not at the newest migration.
    """
    import runtime

    loaded, found = start_services()

    async def connected() -> Result:
        async with runtime.connect_database(found, lease=loaded.job_lease) as (database, _, _):
            await _require_migrated(database)
            return await body(database, found)

    return asyncio.run(connected())


def read_in_tenant(slug: str, body: Callable[["Work", "Services"], Awaitable[Result]]) -> Result:
    """Run the body, which only reads, in one transaction of a tenant: without queue and broker.

    Raises:
        DomainError: NOT_FOUND.
        SettingsError: the database is not at the newest migration.
    """
    import runtime

    _, found = start_services()

    async def connected() -> Result:
        async with runtime.connect_reader(found) as database:
            await _require_migrated(database)
            async with database.work(await tenant_id(database, slug)) as work:
                return await body(work, found)

    return asyncio.run(connected())


def read_list(body: Callable[["Connection"], Awaitable[Result]]) -> Result:
    """Run the body, which reads one of ``domain.users.quick_lists``, on a connection of its own.

    Raises:
        SettingsError: the database is not at the newest migration.
    """
    from domain.core import driver

    _, found = start_services()

    async def connected() -> Result:
        async with driver.connect(found.database_url) as connection:
            await driver.refuse_unsafe_role(connection)
            _refuse_revision(await driver.revision(connection))
            return await body(connection)

    return asyncio.run(connected())


async def _require_migrated(database: "Database") -> None:
    _refuse_revision(await database.revision())


def _refuse_revision(found: str | None) -> None:
    import runtime

    if found != runtime.latest_revision():
        raise settings.SettingsError("the database is not up to date: run `twin migrate`")


def run_in_tenant(
    slug: str, body: Callable[["Work", "Services"], Awaitable[Result]], *, create: bool = False
) -> Result:
    """Run the body in one transaction of a tenant.

    Args:
        slug: of the tenant.
        body: what to run.
        create: add the tenant, in the same transaction, if there is none.

    Raises:
        DomainError: NOT_FOUND without ``create``; INVALID_INPUT for a slug that is malformed.
    """

    async def connected(database: "Database", found: "Services") -> Result:
        from domain.tenants import tenants

        async with database.work(None) as work:
            known = await tenants.exists(work, slug)
        if known or not create:
            async with database.work(await tenant_id(database, slug)) as work:
                return await body(work, found)
        async with database.work(uuid4()) as work:
            await tenants.create(work, slug)
            return await body(work, found)

    return run_on_database(connected)


async def tenant_id(database: "Database", slug: str) -> UUID:
    """The id of the tenant. Raises DomainError NOT_FOUND."""
    from domain.tenants import tenants

    async with database.work(None) as work:
        return (await tenants.by_slug(work, slug)).id
