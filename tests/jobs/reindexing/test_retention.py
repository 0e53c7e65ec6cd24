"""Vectors go once nobody needs them: of versions that were replaced, of tenants that are gone."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import delete, make_url, update

from domain.contract.snapshots import ModelKey
from domain.core.database import Database
from domain.core.errors import DomainError
from domain.model_registry import comparison, model_versions
from domain.model_registry.model_versions import ModelStatus, ModelVersion, SpaceState
from domain.tenants import policies
from domain.tenants.tenants import Tenant
from jobs.reindexing.writer import Counts
from runtime import Runtime, Services
from tests.factories import Town
from tests.jobs.reindexing.indexing import Place, unheard


@pytest.fixture
async def place(rt: Runtime, database: Database, town: Town) -> Place:
    """A tenant of the test's own."""
    return await Place.found(rt, database, town)


async def age(place: Place, model: ModelKey, days: float) -> None:
    """Have a version have been made, and retired if it is, so long ago."""
    then = datetime.now(UTC) - timedelta(days=days)
    async with place.database.work(place.id) as work:
        await work.session.execute(
            update(ModelVersion)
            .where(ModelVersion.id == model.version_id)
            .values(
                created_at=then,
                space_since=then,
                retired_at=ModelVersion.retired_at - timedelta(days=days),
            )
        )


async def test_only_what_may_be_needed_keeps_its_vectors(place: Place) -> None:
    first, second, third = place.model, await place.new_version(), await place.new_version()
    for one in (second, third):
        await place.indexer.activate(place.id, one.version_id, unheard)
    # Requests may still be finishing on the first.
    assert await place.indexer.forget_unneeded(place.id) == []
    for one in (first, second):
        await age(place, one, 0.5)
    assert await place.indexer.forget_unneeded(place.id) == [first.version_id]
    assert (await place.version(first)).space is SpaceState.NONE
    assert await place.space(first).count() == await place.space(first).count_users() == 0
    assert (await model_weights(place, first)) > 1000
    assert await place.is_in_step(second, third)
    # A change reaches what is left alone.
    await place.add_properties(1)
    await place.index_marked()
    assert [await place.space(one).count() for one in (first, second, third)] == [0, 61, 61]

    await age(place, second, 6.0)
    assert await place.indexer.forget_unneeded(place.id) == []
    await age(place, second, 7.0)
    assert await place.indexer.forget_unneeded(place.id) == [second.version_id]
    done = await place.indexer.activate(place.id, first.version_id, unheard)
    assert done.reindexed
    assert await place.is_in_step(first, third)


async def model_weights(place: Place, model: ModelKey) -> int:
    async with place.database.work(place.id) as work:
        return len((await model_versions.stored(work, model.version_id)).weights)


async def test_the_grace_is_the_tenants_own_and_spares_experiments(place: Place) -> None:
    second, waiting = await place.new_version(), await place.new_version()
    for one in (second, waiting):
        await place.indexer.fill(place.id, one.version_id, unheard)
    async with place.database.work(place.id) as work:
        await policies.change(work, {"grace_days": 2})
        await comparison.start(work, 2, None, 0.5)
    for one in (second, waiting):
        await age(place, one, 3.0)
    assert await place.indexer.forget_unneeded(place.id) == [waiting.version_id]
    assert await place.is_in_step(place.model, second)


async def test_a_refused_version_loses_its_vectors_at_once(place: Place) -> None:
    new = await place.new_version()
    await place.indexer.fill(place.id, new.version_id, unheard)
    async with place.database.work(place.id) as work:
        version = await model_versions.get(work, new.version_id)
        version.status, version.refusal = ModelStatus.REFUSED, "on second thoughts"
    assert await place.indexer.forget_unneeded(place.id) == [new.version_id]


async def test_nothing_is_forgotten_while_a_space_is_being_filled(place: Place) -> None:
    new = await place.new_version()
    await age(place, new, 30.0)
    forgotten: list[object] = []

    async def forget(_share: float, _message: str) -> None:
        forgotten.extend(await place.indexer.forget_unneeded(place.id))

    await place.indexer.fill(place.id, new.version_id, forget)
    assert forgotten == []
    assert await place.is_in_step(new)


async def test_two_versions_of_long_ago_can_be_compared(place: Place) -> None:
    """The first is in the index, and not searched yet, while the second is filled."""
    second, third = await place.new_version(), await place.new_version()
    for one in (second, third):
        await place.indexer.activate(place.id, one.version_id, unheard)
    for one in (place.model, second):
        await age(place, one, 30.0)
    old = {place.model.version_id, second.version_id}
    assert set(await place.indexer.forget_unneeded(place.id)) == old
    for one in (place.model, second):
        await place.indexer.fill(place.id, one.version_id, unheard)
    assert await place.indexer.forget_unneeded(place.id) == []
    async with place.database.work(place.id) as work:
        await comparison.start(work, 1, 2, 0.5)
    assert await place.is_in_step(place.model, second, third)


async def test_what_a_crash_left_behind_is_deleted_by_the_next(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the commit that forgets a space and before its points are deleted."""
    new = await place.new_version()
    await place.indexer.fill(place.id, new.version_id, unheard)
    await age(place, new, 30.0)
    with monkeypatch.context() as patched:
        patched.setattr(type(place.indexer.index), "keep_versions", _crash)
        with pytest.raises(asyncio.CancelledError):
            await place.indexer.forget_unneeded(place.id)
    assert (await place.version(new)).space is SpaceState.NONE
    assert await place.space(new).count() == 60
    assert await place.indexer.forget_unneeded(place.id) == []
    assert await place.space(new).count() == await place.space(new).count_users() == 0
    assert await place.is_in_step()


async def _crash(*_: object) -> None:
    raise asyncio.CancelledError


@pytest.fixture
async def superuser(services: Services) -> AsyncIterator[Database]:
    """The database as the only role that may delete a tenant."""
    owner = make_url(services.migration_database_url or "")
    url = owner.set(username="postgres").render_as_string(hide_password=False)

    async def nothing(jobs: object) -> None:
        raise AssertionError(f"unexpected jobs: {jobs}")

    opened = Database(url, nothing)
    yield opened
    await opened.close()


async def remove_tenant(superuser: Database, tenant_id: UUID) -> None:
    async with superuser.work(tenant_id) as work:
        await work.session.execute(
            update(Tenant).where(Tenant.id == tenant_id).values(active_model_version_id=None)
        )
        await work.session.execute(delete(Tenant).where(Tenant.id == tenant_id))


async def test_whatever_is_done_for_a_tenant_that_was_deleted_deletes_its_vectors(
    place: Place, superuser: Database
) -> None:
    await remove_tenant(superuser, place.id)
    assert await place.space().count() == 60
    for call in (
        place.indexer.index_marked,
        place.indexer.forget_unneeded,
    ):
        with pytest.raises(DomainError, match="No such tenant"):
            await call(place.id)
        assert await place.space().count() == await place.space().count_users() == 0


async def test_a_tenant_that_is_deleted_while_its_index_is_locked_leaves_nothing(
    place: Place, superuser: Database
) -> None:
    with pytest.raises(DomainError, match="No such tenant"):
        async with place.indexer.index_lock(place.id) as lock:
            await remove_tenant(superuser, place.id)
            await place.indexer.write_properties(lock, place.town.south, [place.model], Counts())
    assert await place.space().count() == await place.space().count_users() == 0


async def test_a_tenant_that_is_deleted_while_it_is_indexed_leaves_nothing(
    place: Place, superuser: Database
) -> None:
    async def remove(_share: float, _message: str) -> None:
        await remove_tenant(superuser, place.id)

    with pytest.raises(DomainError, match="No such"):
        await place.indexer.reindex(place.id, remove, full=True)
    assert await place.space().count() == await place.space().count_users() == 0
