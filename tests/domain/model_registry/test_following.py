"""Servers follow which version is active: heard of at once, and found by looking."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from uuid import UUID

import pytest
from sqlalchemy import text

import runtime
from domain.contract.snapshots import ModelKey
from domain.core.database import Database
from domain.model_registry import model_versions
from domain.model_registry.following import following
from domain.tenants.tenants import Tenant
from settings import Settings
from tests.factories import Town

NEVER = 3600.0
_CUT = text(
    """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user
    AND query LIKE 'LISTEN "twin_active_version"%'
    """
)


class Noting:
    """Stands for a process with versions of some tenants in memory."""

    def __init__(self, *tenants: UUID) -> None:
        self._tenants = set(tenants)
        self.seen: list[Mapping[UUID, UUID | None]] = []

    def tenants(self) -> set[UUID]:
        return self._tenants

    async def follow(self, active: Mapping[UUID, UUID | None]) -> None:
        self.seen.append(active)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)


async def add_version(database: Database, tenant: Tenant, town: Town) -> UUID:
    """A copy of the town's twin, ready to be activated."""
    async with database.work(town.tenant.id) as work:
        found = await model_versions.active(work)
        assert found is not None
        stored = await model_versions.stored(work, found.id)
    async with database.work(tenant.id) as work:
        copy = await model_versions.add(work, stored.weights, stored.metadata, {})
        await model_versions.judge(work, copy.id, [], None)
        await model_versions.complete(work, copy.id)
        return copy.id


async def activate(database: Database, tenant: Tenant, version: UUID) -> None:
    async with database.work(tenant.id) as work:
        await model_versions.activate(work, version)


async def test_a_switch_is_loaded_in_another_process_before_it_is_asked_for(
    settings: Settings,
    services: runtime.Services,
    database: Database,
    town: Town,
    tenant: Tenant,
) -> None:
    old, new = [await add_version(database, tenant, town) for _ in range(2)]
    await activate(database, tenant, old)
    async with runtime.connect(settings, services) as server:
        loaded = server.twin.loaded
        await loaded.get(ModelKey(tenant.id, old))
        noting = Noting(tenant.id)
        async with (
            following(server.database, loaded, look_every=NEVER),
            following(server.database, noting, look_every=NEVER),
        ):
            await until(lambda: noting.seen)  # it listens
            await activate(database, tenant, new)
            await until(lambda: ModelKey(tenant.id, new) in loaded.models())


async def test_switches_of_others_wake_nobody(
    database: Database, town: Town, tenant: Tenant, other_tenant: Tenant
) -> None:
    version = await add_version(database, other_tenant, town)
    concerned, idle = Noting(other_tenant.id), Noting(tenant.id)
    async with (
        following(database, concerned, look_every=NEVER),
        following(database, idle, look_every=NEVER),
    ):
        await until(lambda: concerned.seen and idle.seen)
        await activate(database, other_tenant, version)
        await until(lambda: concerned.seen[-1] == {other_tenant.id: version})
    assert idle.seen == [{tenant.id: None}]


async def test_what_was_missed_while_not_listening_is_found_by_looking(
    database: Database, town: Town, tenant: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    version = await add_version(database, tenant, town)
    noting = Noting(tenant.id)
    with caplog.at_level(logging.WARNING, "domain.model_registry.following"):
        async with following(database, noting, look_every=0.1, listen_again_after=NEVER):
            await until(lambda: noting.seen)
            async with database.work(None) as work:
                assert await work.session.scalar(_CUT)
            await until(lambda: "was lost" in caplog.text)
            await activate(database, tenant, version)
            await until(lambda: noting.seen[-1] == {tenant.id: version})


async def test_it_listens_again_and_looks_at_once(
    database: Database, town: Town, tenant: Tenant
) -> None:
    first, second = [await add_version(database, tenant, town) for _ in range(2)]
    noting = Noting(tenant.id)
    async with following(database, noting, look_every=NEVER, listen_again_after=0.1):
        await until(lambda: noting.seen)
        # In one transaction, so that it hears nothing of the switch.
        async with database.work(tenant.id) as work:
            assert await work.session.scalar(_CUT)
            await model_versions.activate(work, first)
        await until(lambda: noting.seen[-1] == {tenant.id: first})
        await activate(database, tenant, second)
        await until(lambda: noting.seen[-1] == {tenant.id: second})


async def test_a_database_that_does_not_answer_is_looked_at_again(
    caplog: pytest.LogCaptureFixture, tenant: Tenant
) -> None:
    async def nothing(_: object) -> None:
        """No jobs here."""

    nowhere = Database("postgresql+asyncpg://twin@127.0.0.1:9/twin", nothing)
    with caplog.at_level(logging.WARNING, "domain.model_registry.following"):
        async with following(nowhere, Noting(tenant.id), look_every=0.05, listen_again_after=0.05):
            await until(lambda: caplog.text.count("cannot listen") > 1)
            await until(lambda: caplog.text.count("could not see which") > 1)
    await nowhere.close()
