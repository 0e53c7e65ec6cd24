"""Processes behind PgBouncer, which lends connections by the transaction: two for all of them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
from sqlalchemy import URL, make_url, text

import runtime
from domain.contract.vocabulary import Role
from domain.core import database as database_module
from domain.core import driver
from domain.core.database import Database, PoolerError
from domain.imports.properties import import_properties
from domain.imports.sources import FileSource
from domain.model_registry.model_versions import ACTIVATED
from domain.tenants import tenants
from domain.tenants.tenants import Tenant
from domain.users import quick_lists
from graph.core.nodes import global_id
from graph.identity import mint
from settings import Settings
from tests.conformance.servers import Server, own_server
from tests.factories import add_property, add_user
from tests.pooler import PROGRAM, pgbouncer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PROGRAM is None, reason="needs pgbouncer: apt-get install pgbouncer, or have it on the PATH"
    ),
]

THUMB = """mutation ($house: ID!) { submitFeedback(input: {
    propertyId: $house, sentiment: THUMBS_UP}) { errors { message } } }"""
LOOK = """query ($house: ID!) { me { role } property(id: $house) { feedback { sentiment } }
    properties { totalCount } recommendations { edges { node { score } } } }"""


def written(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def pooled(services: runtime.Services) -> Iterator[runtime.Services]:
    """The services with PgBouncer before the database, and the URL that goes past it."""
    with pgbouncer(make_url(services.database_url)) as url:
        yield replace(
            services,
            database_url=written(url),
            database_direct_url=services.database_url,
            migration_database_url=written(url.set(username="twin_owner")),
        )


@pytest.fixture
async def pooled_database(pooled: runtime.Services) -> AsyncIterator[Database]:
    async with runtime.connect_database(pooled, statement_timeout=30) as (opened, _, _):
        yield opened


async def test_a_pooler_without_a_direct_url_is_refused(
    pooled: runtime.Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "HEARD_WITHIN", 1.0)
    for direct in (None, pooled.database_url):
        with pytest.raises(PoolerError, match="DATABASE_DIRECT_URL") as refused:
            async with runtime.connect_database(replace(pooled, database_direct_url=direct)):
                pass
        assert "\n" not in str(refused.value)


async def test_a_pooler_in_session_mode_needs_no_direct_url(services: runtime.Services) -> None:
    with pgbouncer(make_url(services.database_url), "session") as url:
        found = replace(services, database_url=written(url))
        async with runtime.connect_database(found) as (database, _, _):
            assert await database.revision() is not None


async def test_notifications_are_heard_past_the_pooler(pooled_database: Database) -> None:
    async with pooled_database.listen("greetings") as payloads:
        async with pooled_database.work(None) as work:
            await work.session.execute(text("NOTIFY greetings, 'hello'"))
        async with asyncio.timeout(60):
            assert await anext(payloads) == "hello"


async def test_the_timeout_of_statements_holds_behind_a_pooler(
    pooled_database: Database, tenant: Tenant
) -> None:
    async with pooled_database.work(tenant.id) as work:
        assert await work.session.scalar(text("SHOW statement_timeout")) == "30s"


def test_migrations_run_through_the_pooler(pooled: runtime.Services) -> None:
    runtime.migrate(pooled)
    # Named, it is not looked at whether there is anything to do.
    runtime.migrate(pooled, runtime.latest_revision())


async def test_reading_commands_need_no_direct_url(
    pooled: runtime.Services, tenant: Tenant
) -> None:
    found = replace(pooled, database_direct_url=None)

    async def read() -> None:
        async with (
            runtime.connect_reader(found) as reader,
            driver.connect(found.database_url) as connection,
        ):
            for _ in range(3):
                async with reader.work(None) as work:
                    assert await tenants.exists(work, tenant.slug)
                assert await quick_lists.users(connection, tenant.slug) == []

    # More of them than the pooler has connections.
    await asyncio.gather(*(read() for _ in range(6)))


async def test_two_servers_and_an_import_share_the_poolers_connections(
    settings: Settings, service_environment: dict[str, str], pooled: runtime.Services,
    pooled_database: Database, tenant: Tenant, tmp_path: Path,
) -> None:  # fmt: skip
    async with pooled_database.work(tenant.id) as work:
        user, house = await add_user(work, role=Role.ADMIN), await add_property(work)
    token = mint(pooled.jwt_secret, tenant.id, user.id, [], timedelta(hours=1))
    shown = {"house": global_id("Property", house.id)}
    serve = partial(
        own_server,
        settings.data_dir,
        settings=service_environment
        | {
            "DATABASE_URL": pooled.database_url,
            "DATABASE_DIRECT_URL": pooled.database_direct_url or "",
            # Ten at a time wait for two connections.
            "OPERATION_TIMEOUT": "60",
        },
    )

    async def ask(server: Server, query: str) -> dict[str, object]:
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.post(
                server.url,
                json={"query": query, "variables": shown},
                headers={"Authorization": f"Bearer {token}"},
            )
        body: dict[str, dict[str, object]] = answer.json()
        assert "errors" not in body, body["errors"]
        return body["data"]

    many = tmp_path / "many.csv"
    many.write_text("external_id,city\n" + "".join(f"home-{n},Seattle\n" for n in range(500)))
    with serve() as first, serve() as second:
        asking = [
            asyncio.create_task(ask(server, LOOK)) for _ in range(10) for server in (first, second)
        ]
        async with pooled_database.work(tenant.id) as work:
            imported = await import_properties(work, FileSource(many))
        await asyncio.gather(*asking)
        assert imported.inserted == 500
        await ask(first, THUMB)
        seen = await ask(second, LOOK)
        assert seen["me"] == {"role": "ADMIN"}
        assert seen["property"] == {"feedback": {"sentiment": "THUMBS_UP"}}
        assert seen["properties"] == {"totalCount": 501}
        async with pooled_database.work(None) as work:
            listening = text(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE :listen"
            )
            listen = {"listen": f'LISTEN "{ACTIVATED}"%'}
            assert (await work.session.scalar(listening, listen)) >= 2
