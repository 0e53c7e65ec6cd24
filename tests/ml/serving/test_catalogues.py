"""A tenant's properties in memory: loaded once, in step with the database, the tenant's own."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
import torch

from domain.contract.filters import PropertyFilter, Range
from domain.contract.snapshots import (
    Changes,
    InvestorHistory,
    ModelKey,
    PropertyColumns,
    StoredModel,
)
from domain.contract.vocabulary import InteractionKind
from domain.core.database import Database
from domain.interactions import interactions
from domain.jobs import index_outbox
from domain.properties import snapshots, table
from domain.properties.feed import DatabaseFeed
from domain.properties.input import PropertyInput
from domain.properties.upsert import upsert
from domain.tenants.tenants import Tenant
from ml.index.index import EmbeddingIndex
from ml.serving import catalogues as module
from ml.serving.catalogues import Catalogues
from ml.serving.inference import TwinService
from ml.serving.loaded import LoadedTwins
from ml.twin.artifacts import Artifact, pack
from tests.conftest import new_tenant
from tests.factories import add_property, add_user
from tests.ml.worlds import make_history
from tests.waiting import until

EVERYTHING = PropertyFilter()
QUERY = np.full(16, 0.25, dtype=np.float32)


class Feed:
    """The database's feed, which can be held up and made to fail.

    Attributes:
        free: cleared, no batch comes.
        failing: nothing comes but errors.
        counts: how often a load was tried, by tenant.
        positions: how often all was read, by tenant.
        waiting: how many loads wait for their batch.
        meanwhile: done before each batch.
    """

    def __init__(self, database: Database) -> None:
        self._feed = DatabaseFeed(database)
        self.free = asyncio.Event()
        self.free.set()
        self.failing = False
        self.counts: Counter[UUID] = Counter()
        self.positions: Counter[UUID] = Counter()
        self.waiting = 0
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def position(self, tenant_id: UUID) -> str:
        self.positions[tenant_id] += 1
        return await self._feed.position(tenant_id)

    async def count(self, tenant_id: UUID) -> int:
        self.counts[tenant_id] += 1
        self._fail()
        return await self._feed.count(tenant_id)

    async def batches(self, tenant_id: UUID) -> AsyncIterator[PropertyColumns]:
        async for batch in self._feed.batches(tenant_id):
            self.waiting += 1
            await self.free.wait()
            self.waiting -= 1
            if self.meanwhile:
                await self.meanwhile()
            yield batch

    async def changes(self, tenant_id: UUID, since: str) -> Changes | None:
        self._fail()
        return await self._feed.changes(tenant_id, since)

    def _fail(self) -> None:
        if self.failing:
            raise ConnectionError("no answer")


class Loader:
    """Gives one stored twin for every version but the missing ones, and counts."""

    def __init__(self, stored: StoredModel) -> None:
        self.stored = stored
        self.loads: Counter[ModelKey] = Counter()
        self.missing: set[ModelKey] = set()

    async def __call__(self, model: ModelKey) -> StoredModel:
        self.loads[model] += 1
        if model in self.missing:
            raise LookupError("no such version")
        return self.stored


@pytest.fixture
def feed(database: Database) -> Feed:
    return Feed(database)


@pytest.fixture
def loader(artifact: Artifact) -> Loader:
    return Loader(pack(artifact, {}))


Make = Callable[..., Catalogues]


@pytest.fixture
async def make(feed: Feed, loader: Loader) -> AsyncIterator[Make]:
    """Makes catalogues of the feed, which are closed in the end."""
    made = []

    def make(*, capacity: int = 8, **options: Any) -> Catalogues:
        twins = LoadedTwins(loader, torch.device("cpu"), capacity)
        made.append(Catalogues(feed, twins, **options))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture
def catalogues(make: Make) -> Catalogues:
    return make()


@pytest.fixture
async def houses(database: Database, tenant: Tenant) -> list[UUID]:
    """Three properties of the tenant."""
    return await build(database, tenant)


@pytest.fixture
def model(tenant: Tenant, houses: list[UUID]) -> ModelKey:
    """A version of the tenant, which has three properties."""
    return ModelKey(tenant.id, uuid4())


async def build(database: Database, tenant: Tenant, count: int = 3) -> list[UUID]:
    async with database.work(tenant.id) as work:
        return [(await add_property(work)).id for _ in range(count)]


async def send(database: Database, tenant: Tenant, external_id: str, price: float) -> UUID:
    """Commits an upsert."""
    async with database.work(tenant.id) as work:
        item = PropertyInput(external_id=external_id, listing_price=price)
        return (await upsert(work, [item]))[0].property_id


async def load(catalogues: Catalogues, *models: ModelKey) -> None:
    """Ask until all have been loaded, and no load goes on."""
    for model in models:
        await until(lambda: catalogues.get(model) is not None)  # noqa: B023


async def held(
    catalogues: Catalogues, model: ModelKey, where: PropertyFilter = EVERYTHING
) -> set[UUID]:
    """What the catalogue would answer with."""
    catalogue = catalogues.get(model)
    assert catalogue is not None
    return {hit.property_id for hit in await catalogue.query(QUERY, where, (), 1000)}


async def test_the_first_question_begins_the_one_load(
    catalogues: Catalogues, feed: Feed, model: ModelKey, houses: list[UUID]
) -> None:
    feed.free.clear()
    assert [catalogues.get(model) for _ in range(5)] == [None] * 5
    await until(lambda: feed.waiting)
    assert catalogues.get(model) is None
    assert catalogues.tenants() == set()
    feed.free.set()
    await load(catalogues, model)
    assert feed.positions == {model.tenant_id: 1}
    assert catalogues.tenants() == {model.tenant_id}
    assert await held(catalogues, model) == set(houses)


async def test_the_least_recently_used_goes_when_memory_is_full(
    make: Make, database: Database, tenant: Tenant, model: ModelKey
) -> None:
    catalogues = make()
    await load(catalogues, model)
    catalogue = catalogues.get(model)
    assert catalogue is not None
    # Of one size, for an array has room for 64 rows at least.
    for_two = make(memory=int(2.5 * catalogue.nbytes))
    others = [await new_tenant(database) for _ in range(2)]
    for one in others:
        await build(database, one)
    second, third = (ModelKey(one.id, model.version_id) for one in others)
    await load(for_two, model, second, model, third)
    assert for_two.tenants() == {model.tenant_id, third.tenant_id}
    assert for_two.properties(second.tenant_id, []) is None
    await load(for_two, second)
    assert for_two.tenants() == {second.tenant_id, third.tenant_id}


@pytest.mark.parametrize(("option", "most"), [("limit", 2), ("memory", 1000)])
async def test_what_is_too_large_is_left_to_the_index_and_tried_again_later(
    make: Make,
    feed: Feed,
    database: Database,
    model: ModelKey,
    houses: list[UUID],
    option: str,
    most: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    catalogues = make(**{option: most})
    assert catalogues.get(model) is None
    await until(lambda: "the index answers" in caplog.text)
    assert catalogues.get(model) is None
    assert feed.counts[model.tenant_id] == 1
    monkeypatch.setattr(module, "AGAIN_AFTER", 0.0)
    again = make(**{option: most})
    await until(lambda: again.get(model) is not None or feed.counts[model.tenant_id] > 2)
    assert again.tenants() == set()
    async with database.work(model.tenant_id) as work:
        for house in houses[1 if option == "limit" else 0 :]:
            await table.remove(work, house)
    await load(again, model)
    assert len(await held(again, model)) == (1 if option == "limit" else 0)


async def test_what_outgrows_the_limit_goes(
    make: Make, database: Database, tenant: Tenant, model: ModelKey
) -> None:
    catalogues = make(limit=3)
    await load(catalogues, model)
    await send(database, tenant, "A", 1.0)
    await catalogues.catch_up(tenant.id)
    assert catalogues.tenants() == set()
    assert catalogues.get(model) is None


async def test_every_change_is_there_once_it_caught_up(
    catalogues: Catalogues, database: Database, tenant: Tenant, model: ModelKey, houses: list[UUID]
) -> None:
    await load(catalogues, model)
    cheap = PropertyFilter(price=Range(max=10.0))
    created = await send(database, tenant, "A", 100.0)
    await catalogues.catch_up(tenant.id)
    assert await held(catalogues, model) == {*houses, created}
    assert await held(catalogues, model, cheap) == set()
    await send(database, tenant, "A", 1.0)
    await catalogues.catch_up(tenant.id)
    assert await held(catalogues, model, cheap) == {created}
    async with database.work(tenant.id) as work:
        user = await add_user(work)
        await interactions.record(work, user.id, houses[1], InteractionKind.DEAL)
        await table.remove(work, houses[0])
    await catalogues.catch_up(tenant.id)
    assert await held(catalogues, model) == {*houses[1:], created}
    owned = catalogues.properties(tenant.id, houses[1:])
    assert owned is not None
    assert owned.owners.tolist() == [1, 0]
    assert catalogues.properties(tenant.id, houses) is None


async def test_what_commits_while_it_loads_is_not_lost(
    catalogues: Catalogues,
    feed: Feed,
    database: Database,
    tenant: Tenant,
    model: ModelKey,
    houses: list[UUID],
) -> None:
    feed.free.clear()
    catalogues.get(model)
    await until(lambda: feed.waiting)
    async with database.work(tenant.id) as work:
        late = (await add_property(work)).id
        await index_outbox.follow(work, index_outbox.Marked.PROPERTY, [late])
        created = await send(database, tenant, "A", 1.0)
        async with database.work(tenant.id) as other:
            await table.remove(other, houses[0])
        feed.free.set()
        await load(catalogues, model)
        assert await held(catalogues, model) == {*houses[1:], created}
    await catalogues.catch_up(tenant.id)
    assert await held(catalogues, model) == {*houses[1:], created, late}


async def test_the_old_one_answers_while_everything_is_read_again(
    catalogues: Catalogues,
    feed: Feed,
    database: Database,
    tenant: Tenant,
    model: ModelKey,
    houses: list[UUID],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await load(catalogues, model)
    monkeypatch.setattr(index_outbox, "REINDEX_ABOVE", 0)
    feed.free.clear()
    first = await send(database, tenant, "A", 1.0)
    await catalogues.catch_up(tenant.id)
    await until(lambda: feed.waiting)
    assert await held(catalogues, model) == set(houses)
    # And once more, while that is read.
    second = await send(database, tenant, "B", 1.0)
    await catalogues.catch_up(tenant.id)
    assert await held(catalogues, model) == set(houses)
    feed.free.set()
    old = catalogues.get(model)
    await until(lambda: catalogues.get(model) is not old)
    assert await held(catalogues, model) == {*houses, first, second}
    assert feed.positions[tenant.id] == 3


async def test_what_changes_faster_than_it_is_read_is_left_to_the_index(
    catalogues: Catalogues,
    feed: Feed,
    database: Database,
    tenant: Tenant,
    model: ModelKey,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(index_outbox, "REINDEX_ABOVE", 0)
    feed.meanwhile = lambda: send(database, tenant, "A", float(feed.positions[tenant.id]))
    assert catalogues.get(model) is None
    await until(lambda: "could not load the catalogue" in caplog.text)
    assert "everything changed 3 times" in caplog.text
    assert catalogues.get(model) is None


async def test_a_feed_that_fails_leaves_what_is_there(
    catalogues: Catalogues,
    feed: Feed,
    database: Database,
    tenant: Tenant,
    model: ModelKey,
    houses: list[UUID],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await load(catalogues, model)
    created = await send(database, tenant, "A", 1.0)
    feed.failing = True
    await catalogues.catch_up(tenant.id)
    assert f"the catalogue of version {model.version_id} could not catch up" in caplog.text
    assert await held(catalogues, model) == set(houses)
    feed.failing = False
    await catalogues.catch_up(tenant.id)
    assert await held(catalogues, model) == {*houses, created}


async def test_a_load_that_fails_is_logged_and_tried_again_later(
    catalogues: Catalogues,
    feed: Feed,
    model: ModelKey,
    houses: list[UUID],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "AGAIN_AFTER", 0.0)
    feed.failing = True
    catalogues.get(model)
    await until(
        lambda: f"could not load the catalogue of version {model.version_id}" in caplog.text
    )
    assert catalogues.get(model) is None
    feed.failing = False
    await load(catalogues, model)
    assert await held(catalogues, model) == set(houses)


async def test_a_version_that_cannot_catch_up_delays_no_other(
    make: Make, loader: Loader, database: Database, tenant: Tenant, model: ModelKey
) -> None:
    catalogues = make(capacity=1)
    other = ModelKey(tenant.id, uuid4())
    await load(catalogues, model, other)
    loader.missing.add(model)
    created = await send(database, tenant, "A", 1.0)
    await catalogues.catch_up(tenant.id)
    assert created not in await held(catalogues, model)
    assert created in await held(catalogues, other)


async def test_catching_up_with_nothing_fetches_no_version(
    make: Make, loader: Loader, tenant: Tenant, model: ModelKey
) -> None:
    """With more catalogues than versions in memory, looks would take turns at evicting them."""
    catalogues = make(capacity=1)
    other = ModelKey(tenant.id, uuid4())
    await load(catalogues, model, other)
    loads = loader.loads.total()
    for _ in range(3):
        await catalogues.catch_up(tenant.id)
    assert loader.loads.total() == loads


async def test_superseded_versions_go_and_the_active_one_comes(
    catalogues: Catalogues, tenant: Tenant, model: ModelKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    await load(catalogues, model)
    new = ModelKey(tenant.id, uuid4())
    await catalogues.follow({tenant.id: new.version_id})
    await load(catalogues, new)
    await catalogues.follow({tenant.id: new.version_id})
    assert catalogues.get(model) is not None
    monkeypatch.setattr(module, "SUPERSEDED_FOR", -1.0)
    await catalogues.follow({tenant.id: new.version_id})
    assert catalogues.get(new) is not None
    assert catalogues.get(model) is None
    await catalogues.follow({tenant.id: None})
    assert catalogues.tenants() == set()


async def test_a_load_ends_when_it_is_closed(
    catalogues: Catalogues, feed: Feed, model: ModelKey, caplog: pytest.LogCaptureFixture
) -> None:
    feed.free.clear()
    catalogues.get(model)
    await until(lambda: feed.waiting)
    await catalogues.close()
    feed.free.set()
    await catalogues.close()
    assert catalogues.tenants() == set()
    assert caplog.text == ""


async def test_an_evicted_one_that_catches_up_does_not_come_back(
    make: Make, database: Database, tenant: Tenant, model: ModelKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogues = make()
    await load(catalogues, model)
    monkeypatch.setattr(index_outbox, "REINDEX_ABOVE", 0)
    monkeypatch.setattr(module, "SUPERSEDED_FOR", -1.0)
    await send(database, tenant, "A", 1.0)
    before = asyncio.all_tasks()
    catching_up = asyncio.create_task(catalogues.catch_up(tenant.id))
    await asyncio.sleep(0)
    await catalogues.follow({tenant.id: None})
    await catching_up
    assert catalogues.tenants() == set()
    # Other tests of the process may have tasks of their own.
    await until(lambda: asyncio.all_tasks() <= before)
    assert catalogues.tenants() == set()


async def test_two_tenants_never_meet(
    index: EmbeddingIndex, feed: Feed, loader: Loader, database: Database
) -> None:
    """One asks with the other's ids and version, and with the other's history."""
    service = TwinService(index, loader, "cpu", feed=feed)
    firms = [await new_tenant(database) for _ in range(2)]
    ids = [await build(database, one, 5) for one in firms]
    a, b = (ModelKey(one.id, version) for one, version in zip(firms, [uuid4()] * 2, strict=True))
    async with database.work(a.tenant_id) as work:
        theirs = await snapshots.snapshot_after(work)
    investor: InvestorHistory = make_history(theirs, [0], ["SAVE"])
    for model, own in zip((a, b), ids, strict=True):
        await service.nearest(model, QUERY, EVERYTHING, (), 10)
        await until(lambda: service.properties(model.tenant_id, own))  # noqa: B023
    assert service.tenants() == {a.tenant_id, b.tenant_id}
    assert service.properties(b.tenant_id, ids[0]) is None
    for where in (EVERYTHING, PropertyFilter(ids=tuple(ids[0]))):
        expected = set() if where.ids else set(ids[1])
        ranked = (await service.rank(b, investor, where, ())).items
        alike = await service.similar(b, theirs.take([0]), where, (), 10)
        near = await service.nearest(b, QUERY, where, (), 10)
        for found in (ranked, alike, near):
            assert {one.property_id for one in found} == expected
    # Computed of what the caller handed over, and the same whoever holds what is like it.
    np.testing.assert_array_equal(
        await service.score(b, [investor], theirs), await service.score(a, [investor], theirs)
    )
    async with database.work(b.tenant_id) as work:
        await index_outbox.mark(work, index_outbox.Marked.PROPERTY, ids[0])
    await service.catch_up(b.tenant_id)
    assert service.properties(b.tenant_id, ids[0]) is None
    assert service.properties(a.tenant_id, ids[0]) is not None
    await service.close()
