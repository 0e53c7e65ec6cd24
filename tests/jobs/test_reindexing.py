"""The index follows the database, whoever writes and whenever."""

import asyncio
from uuid import UUID

import numpy as np
import pytest
from arq.connections import ArqRedis
from sqlalchemy import delete, func, select, update

from domain import histories, model_versions, properties, tenants
from domain.database import Database
from domain.filters import PropertyFilter
from domain.interactions import Interaction, record, refresh_totals
from domain.job_runs import JobStatus
from domain.properties import Property
from domain.snapshots import ModelKey, PropertyColumns
from domain.tenants import Tenant
from domain.users import User
from domain.vocabulary import InteractionKind
from domain.work import Job
from jobs import reindexing
from jobs.queue import INDEXING_QUEUE, JobQueue
from jobs.reindexing import Indexer
from jobs.worker import reindex_all
from ml.candidates import Source
from ml.filters import unowned
from ml.inference import TwinService
from ml.items import Items
from ml.points import PROPERTIES
from runtime import Runtime
from tests.conftest import new_tenant
from tests.factories import Town, add_property, build_town, interests_in, train
from tests.jobs.conftest import Runs, WorkOff


@pytest.fixture
async def place(rt: Runtime, database: Database) -> Town:
    """A trained tenant of the test's own."""
    built = await build_town(database, await new_tenant(database))
    await train(rt, built.tenant, epochs=2)
    return built


async def active(database: Database, tenant: Tenant) -> ModelKey:
    async with database.work(tenant.id) as work:
        version_id = await tenants.active_version_id(work)
    assert version_id is not None
    return ModelKey(tenant.id, version_id)


async def add_version(database: Database, model: ModelKey) -> ModelKey:
    """A copy of the version, trained and not yet active."""
    async with database.work(model.tenant_id) as work:
        stored = await model_versions.stored(work, model.version_id)
        version = await model_versions.add(work, stored.weights, stored.metadata, {})
    return ModelKey(model.tenant_id, version.id)


async def all_ids(database: Database, tenant: Tenant) -> set[UUID]:
    async with database.work(tenant.id) as work:
        return {one async for batch in properties.snapshots(work) for one in batch.ids}


async def indexed_price(rt: Runtime, model: ModelKey, property_id: UUID, price: float) -> bool:
    """Whether the index knows the property at that price."""
    async with rt.database.work(model.tenant_id) as work:
        found = await properties.snapshot(work, [property_id])
    everything = PropertyFilter()
    hits = await rt.index.space(model).query(
        (await rt.twin.embed(model, found))[0], everything, (), 1
    )
    return (
        hits[0].property_id == property_id
        and hits[0].cosine > 0.9999
        and found.column("listing_price")[0] == price
    )


async def interests(database: Database, tenant: Tenant) -> int:
    """How many points the investors of a town have: one for each house that one approved of."""
    async with database.work(tenant.id) as work:
        pairs = select(Interaction.user_id, Interaction.property_id).distinct().subquery()
        return await work.session.scalar(select(func.count()).select_from(pairs)) or 0


async def set_price(database: Database, tenant: Tenant, property_id: UUID, price: float) -> None:
    async with database.work(tenant.id) as work:
        await work.session.execute(
            update(Property).where(Property.id == property_id).values(listing_price=price)
        )


async def test_a_reindex_writes_all_and_forgets_what_is_gone(
    rt: Runtime, database: Database, place: Town, queue: JobQueue, work_off: WorkOff, runs: Runs
) -> None:
    model = await active(database, place.tenant)
    async with database.work(place.tenant.id) as work:
        new = await add_property(work)
        # Past domain.properties, as a lost job would leave it.
        await work.session.execute(delete(Property).where(Property.id == place.south[0]))
        left = await work.session.get_one(User, (place.tenant.id, place.northerners[0]))
        await work.session.delete(left)
    await rt.index.space(model).delete_users(place.southerners)

    await queue.enqueue([Job("reindex", place.tenant.id)])
    await work_off()

    found = await rt.index.space(model).property_ids()
    assert found == await all_ids(database, place.tenant)
    assert new.id in found
    assert place.south[0] not in found
    assert left.id not in await rt.index.space(model).user_ids()
    assert await interests_in(rt.index.space(model)) == await interests(database, place.tenant)
    (run,) = await runs(place.tenant.id)
    assert run.status is JobStatus.SUCCEEDED
    assert run.result == {"properties": 60, "users": 11, "removed": 1}


async def test_changed_properties_are_written_and_deleted_ones_forgotten(
    rt: Runtime, database: Database, place: Town, queue: JobQueue, work_off: WorkOff
) -> None:
    model = await active(database, place.tenant)
    changed, gone = place.south[:2]
    await set_price(database, place.tenant, changed, 5e6)
    async with database.work(place.tenant.id) as work:
        await properties.remove(work, gone)
    assert not await indexed_price(rt, model, changed, 5e6)

    await queue.enqueue([Job("index_properties", place.tenant.id, ([str(changed), str(gone)],))])
    await work_off()

    assert await indexed_price(rt, model, changed, 5e6)
    assert await rt.index.space(model).property_ids() == await all_ids(database, place.tenant)


async def test_users_without_interactions_are_forgotten(
    rt: Runtime, database: Database, place: Town, queue: JobQueue, work_off: WorkOff
) -> None:
    space = rt.index.space(await active(database, place.tenant))
    gone, stays = place.southerners[:2]
    async with database.work(place.tenant.id) as work:
        await work.session.execute(delete(Interaction).where(Interaction.user_id == gone))

    ids = [str(gone), str(stays), str(place.idle)]
    await queue.enqueue([Job("index_users", place.tenant.id, (ids,))])
    await work_off()

    left = await interests(database, place.tenant)
    assert await interests_in(space) == left == 11 * 10


async def test_a_deleted_user_is_forgotten_in_retired_versions_too(
    rt: Runtime, database: Database, place: Town, queue: JobQueue, work_off: WorkOff
) -> None:
    retired = rt.index.space(await active(database, place.tenant))
    await train(rt, place.tenant, epochs=1)
    present = rt.index.space(await active(database, place.tenant))
    gone, idle = place.southerners[:2]
    everyone = {*place.southerners, *place.northerners}
    assert await retired.user_ids() == await present.user_ids() == everyone
    async with database.work(place.tenant.id) as work:
        await work.session.execute(delete(User).where(User.id == gone))
        await work.session.execute(delete(Interaction).where(Interaction.user_id == idle))

    await queue.enqueue([Job("index_users", place.tenant.id, ([str(gone), str(idle)],))])
    await work_off()

    assert await present.user_ids() == everyone - {gone, idle}
    # Who is idle may be active again; who is deleted is forgotten.
    assert await retired.user_ids() == everyone - {gone}


async def test_an_interest_given_up_leaves_no_point(
    rt: Runtime, database: Database, place: Town, queue: JobQueue, work_off: WorkOff
) -> None:
    model = await active(database, place.tenant)
    space = rt.index.space(model)
    investor = place.southerners[0]
    before = await interests_in(space)
    async with database.work(place.tenant.id) as work:
        acts = await work.session.execute(
            select(Interaction.id).where(Interaction.user_id == investor).limit(7)
        )
        await work.session.execute(
            delete(Interaction).where(Interaction.id.in_([row[0] for row in acts]))
        )
        history = (await histories.get_many(work, [investor]))[investor]
    assert len(await rt.twin.interests(model, history)) == 3

    await queue.enqueue([Job("index_users", place.tenant.id, ([str(investor)],))])
    await work_off()

    assert await interests_in(space) == before - 7 == await interests(database, place.tenant)


async def unowned_ids(rt: Runtime, model: ModelKey) -> set[UUID]:
    """What the index knows to be owned by nobody."""
    found = await rt.index.space(model).candidates(
        np.eye(1, 16, dtype=np.float32), PropertyFilter(), (), [Source(500, (unowned(),))]
    )
    assert not found.items.taken.any()
    return set(found.ids)


async def test_a_deal_is_known_to_the_index(
    rt: Runtime, database: Database, place: Town, queued: Database, work_off: WorkOff
) -> None:
    """And so is that there is none any more."""
    model = await active(database, place.tenant)
    bought = place.north[3]
    assert await unowned_ids(rt, model) == {*place.south, *place.north}
    async with queued.work(place.tenant.id) as work:
        await record(work, place.idle, bought, InteractionKind.DEAL)
    await work_off()

    assert await unowned_ids(rt, model) == {*place.south, *place.north} - {bought}
    assert await interests_in(rt.index.space(model)) == 12 * 10 + 1

    async with queued.work(place.tenant.id) as work:
        await work.session.execute(delete(Interaction).where(Interaction.user_id == place.idle))
        await refresh_totals(work, [bought])
    await work_off()

    assert await unowned_ids(rt, model) == {*place.south, *place.north}


async def test_a_tenant_without_a_twin_has_nothing_to_index(
    tenant: Tenant, database: Database, queue: JobQueue, work_off: WorkOff, runs: Runs
) -> None:
    town = await build_town(database, tenant, houses=2)
    await queue.enqueue(
        [
            Job("reindex", tenant.id),
            Job("index_properties", tenant.id, ([str(town.south[0])],)),
            Job("index_users", tenant.id, ([str(town.idle)],)),
        ]
    )
    await work_off()

    assert {run.status for run in await runs(tenant.id)} == {JobStatus.SUCCEEDED}


async def test_a_job_changes_nothing_of_another_tenant(
    rt: Runtime,
    database: Database,
    town: Town,
    tenant: Tenant,
    queue: JobQueue,
    work_off: WorkOff,
    runs: Runs,
) -> None:
    space = rt.index.space(await active(database, town.tenant))
    before = await space.property_ids(), await interests_in(space), await runs(town.tenant.id)

    theirs = [str(one) for one in (*town.south, *town.southerners)]
    await queue.enqueue(
        [
            Job("index_properties", tenant.id, (theirs,)),
            Job("index_users", tenant.id, (theirs,)),
            Job("reindex", tenant.id),
        ]
    )
    await work_off()

    assert len(await runs(tenant.id)) == 3
    after = await space.property_ids(), await interests_in(space), await runs(town.tenant.id)
    assert after == before


async def test_a_version_on_its_way_follows_changes_too(
    rt: Runtime, database: Database, place: Town, queue: JobQueue, work_off: WorkOff
) -> None:
    old = await active(database, place.tenant)
    new = await add_version(database, old)
    changed = place.north[0]
    await set_price(database, place.tenant, changed, 5e6)

    await queue.enqueue([Job("index_properties", place.tenant.id, ([str(changed)],))])
    await work_off()

    for model in (old, new):
        assert await indexed_price(rt, model, changed, 5e6)


class PausingTwin(TwinService):
    """Waits between what was read and what is written."""

    reached: asyncio.Event
    go_on: asyncio.Event

    async def items(self, model: ModelKey, properties: PropertyColumns) -> Items:
        found = await super().items(model, properties)
        self.reached.set()
        await self.go_on.wait()
        return found


async def test_an_older_state_never_overwrites_a_newer_one(
    rt: Runtime, database: Database, place: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reindexing, "PROPERTY_BATCH", 100)
    old = await active(database, place.tenant)
    new = await add_version(database, old)

    async def load(key: ModelKey) -> object:
        async with database.work(key.tenant_id) as work:
            return await model_versions.stored(work, key.version_id)

    slow = PausingTwin(rt.index, load, device="cpu")  # type: ignore[arg-type]
    slow.reached, slow.go_on = asyncio.Event(), asyncio.Event()

    async def report(share: float, message: str) -> None:
        pass

    filling = asyncio.create_task(
        Indexer(database, rt.index, slow).reindex(place.tenant.id, report, only=new.version_id)
    )
    async with asyncio.timeout(60):
        await slow.reached.wait()
    # The new version's vectors are computed, of the price before, and not yet written.
    changed = place.south[0]
    await set_price(database, place.tenant, changed, 5e6)
    following = asyncio.create_task(
        Indexer(database, rt.index, rt.twin).index_properties(place.tenant.id, [changed])
    )
    await asyncio.wait([following], timeout=1.0)
    slow.go_on.set()
    await asyncio.gather(filling, following)

    assert await indexed_price(rt, new, changed, 5e6)
    assert await indexed_price(rt, old, changed, 5e6)
    assert await rt.index.space(new).count() == 60


async def to_be_reindexed(redis: ArqRedis) -> set[UUID]:
    """The tenants whose reindex waits."""
    waiting = [one.decode().split(":") for one in await redis.zrange(INDEXING_QUEUE, 0, -1)]
    return {UUID(job[1]) for job in waiting if job[0] == "reindex"}


async def test_every_night_every_tenant_is_reindexed(
    tenant: Tenant, other_tenant: Tenant, queued: Database, redis: ArqRedis
) -> None:
    await reindex_all({"database": queued})

    assert {tenant.id, other_tenant.id} <= await to_be_reindexed(redis)


async def test_whoever_opens_an_index_of_an_earlier_build_has_every_tenant_reindexed(
    rt: Runtime, place: Town, tenant: Tenant, queued: Database, redis: ArqRedis
) -> None:
    await Indexer.open(queued, rt.index, rt.twin)
    assert await to_be_reindexed(redis) == set()
    await rt.index._client.delete_payload_index(PROPERTIES, "owned")
    await Indexer.open(queued, rt.index, rt.twin)
    assert {place.tenant.id, tenant.id} <= await to_be_reindexed(redis)
    await redis.flushdb()
    await Indexer.open(queued, rt.index, rt.twin)
    assert await to_be_reindexed(redis) == set()
