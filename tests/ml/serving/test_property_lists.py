"""Lists, counts and facets of properties: from memory, never older than the question, and whole."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
import torch

from domain.contract.filters import PropertyFilter, Range, words_of
from domain.contract.property_search import (
    PRICE,
    VALUE_FACETS,
    ActiveVersion,
    Facet,
    Order,
    PropertySearch,
)
from domain.contract.snapshots import Changes, ModelKey, PropertyColumns, StoredModel
from domain.core.database import Database
from domain.jobs import index_outbox
from domain.properties import snapshots, table
from domain.properties.feed import DatabaseFeed
from domain.properties.input import PropertyInput
from domain.properties.lists import PropertyLists
from domain.properties.upsert import upsert
from domain.tenants.tenants import Tenant
from ml.catalogue.catalogue import Catalogue
from ml.serving import catalogues as module
from ml.serving.catalogues import Catalogues
from ml.serving.loaded import LoadedTwins
from ml.twin.artifacts import Artifact, pack
from ml.twin.scoring import LoadedTwin
from tests.conftest import new_tenant
from tests.factories import add_property
from tests.waiting import until

EVERYTHING = PropertyFilter()
BY_PRICE = Order("listing_price", descending=True)
EVERY_FACET = [*map(Facet, VALUE_FACETS), Facet(PRICE, boundaries=(200_000.0,))]


class Feed:
    """The database's feed, which counts readings of changes and can hold them up.

    Attributes:
        readings: how many began.
        free: cleared, readings that began wait.
        failing: readings fail.
        positions: how often all was read.
    """

    def __init__(self, database: Database) -> None:
        self._feed = DatabaseFeed(database)
        self.readings = 0
        self.free = asyncio.Event()
        self.free.set()
        self.failing = False
        self.positions = 0

    async def position(self, tenant_id: UUID) -> str:
        self.positions += 1
        return await self._feed.position(tenant_id)

    async def count(self, tenant_id: UUID) -> int:
        return await self._feed.count(tenant_id)

    def batches(self, tenant_id: UUID) -> AsyncIterator[PropertyColumns]:
        return self._feed.batches(tenant_id)

    async def changes(self, tenant_id: UUID, since: str) -> Changes | None:
        self.readings += 1
        found = await self._feed.changes(tenant_id, since)
        await self.free.wait()
        if self.failing:
            raise ConnectionError("no answer")
        return found


class Still:
    """A memory that follows nothing."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def current(self, tenant_id: UUID, active: ActiveVersion) -> PropertySearch:
        return self._catalogue


@pytest.fixture
def feed(database: Database) -> Feed:
    return Feed(database)


@pytest.fixture
async def catalogues(feed: Feed, artifact: Artifact) -> AsyncIterator[Catalogues]:
    async def stored(_: ModelKey) -> StoredModel:
        return pack(artifact, {})

    opened = Catalogues(feed, LoadedTwins(stored, torch.device("cpu"), 8))
    yield opened
    await opened.close()


def active(version: UUID | None) -> ActiveVersion:
    async def read() -> UUID | None:
        return version

    return read


async def never() -> UUID | None:
    raise AssertionError("what is in memory needs no version")


async def load(catalogues: Catalogues, tenant: Tenant) -> None:
    model = ModelKey(tenant.id, uuid4())
    await until(lambda: catalogues.get(model) is not None)
    # Waits for the reading that ends a load.
    await catalogues.catch_up(tenant.id)


async def send(database: Database, tenant: Tenant, external_id: str, price: float) -> UUID:
    """Commits an upsert."""
    async with database.work(tenant.id) as work:
        item = PropertyInput(external_id=external_id, listing_price=price)
        return (await upsert(work, [item]))[0].property_id


async def fill(database: Database, tenant: Tenant, count: int) -> list[UUID]:
    async with database.work(tenant.id) as work:
        return [
            (await add_property(work, listing_price=100_000.0 * (number + 1))).id
            for number in range(count)
        ]


@pytest.fixture
async def houses(database: Database, tenant: Tenant) -> list[UUID]:
    """Five properties of the tenant, each dearer than the one before."""
    return await fill(database, tenant, 5)


async def test_a_question_begins_to_load_the_active_version(
    catalogues: Catalogues, tenant: Tenant, houses: list[UUID]
) -> None:
    assert await catalogues.current(tenant.id, active(None)) is None
    assert catalogues.tenants() == set()
    version = active(uuid4())
    assert await catalogues.current(tenant.id, version) is None
    await until(catalogues.tenants)
    found = await catalogues.current(tenant.id, never)
    assert found is not None
    assert await found.count(EVERYTHING) == len(houses)


async def test_what_was_committed_before_a_question_is_in_its_answer(
    catalogues: Catalogues, database: Database, tenant: Tenant, houses: list[UUID]
) -> None:
    await load(catalogues, tenant)
    lists = PropertyLists(database, catalogues)
    dear = await send(database, tenant, "dear", 9e6)
    page = await lists.page(tenant.id, EVERYTHING, BY_PRICE, 2)
    assert [item.id for item in page] == [dear, houses[-1]]
    async with database.work(tenant.id) as work:
        await table.remove(work, houses[-1])
    page = await lists.page(tenant.id, EVERYTHING, BY_PRICE, 2)
    assert [item.id for item in page] == [dear, houses[-2]]
    assert await lists.count(tenant.id, EVERYTHING) == len(houses)


async def test_nobody_counts_less_than_was_committed_while_others_write(
    catalogues: Catalogues, database: Database, tenant: Tenant, houses: list[UUID]
) -> None:
    await load(catalogues, tenant)
    lists, committed = PropertyLists(database, catalogues), len(houses)

    async def write_and_count(name: str) -> None:
        nonlocal committed
        await send(database, tenant, name, 1.0)
        committed += 1
        before = committed
        assert await lists.count(tenant.id, EVERYTHING) >= before

    await asyncio.gather(*(write_and_count(f"new-{number}") for number in range(12)))
    assert await lists.count(tenant.id, EVERYTHING) == committed


async def test_questions_share_a_reading_that_began_after_they_were_asked(
    catalogues: Catalogues, feed: Feed, database: Database, tenant: Tenant, houses: list[UUID]
) -> None:
    await load(catalogues, tenant)
    await catalogues.current(tenant.id, never)
    feed.readings = 0
    feed.free.clear()
    first = asyncio.create_task(catalogues.current(tenant.id, never))
    await until(lambda: feed.readings)
    await send(database, tenant, "new", 1.0)
    others = [asyncio.create_task(catalogues.current(tenant.id, never)) for _ in range(20)]
    await asyncio.sleep(0)
    feed.free.set()
    found = await asyncio.gather(first, *others)
    assert feed.readings == 2
    for one in found:
        assert one is not None
        assert await one.count(EVERYTHING) == len(houses) + 1


async def test_a_question_that_is_cancelled_cancels_no_other(
    catalogues: Catalogues, feed: Feed, tenant: Tenant, houses: list[UUID]
) -> None:
    await load(catalogues, tenant)
    feed.free.clear()
    asked = [asyncio.create_task(catalogues.current(tenant.id, never)) for _ in range(2)]
    await asyncio.sleep(0)
    asked[0].cancel()
    feed.free.set()
    assert await asked[1] is not None


@pytest.mark.parametrize("fault", ["too much changed", "the feed fails", "the feed hangs"])
async def test_postgresql_answers_where_the_catalogue_cannot_catch_up(
    catalogues: Catalogues,
    feed: Feed,
    database: Database,
    tenant: Tenant,
    houses: list[UUID],
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    await load(catalogues, tenant)
    if fault == "too much changed":
        monkeypatch.setattr(index_outbox, "REINDEX_ABOVE", 0)
    elif fault == "the feed fails":
        feed.failing = True
    else:
        monkeypatch.setattr(module, "CATCH_UP_WITHIN", 0.01)
        feed.free.clear()
    dear = await send(database, tenant, "dear", 9e6)
    assert await catalogues.current(tenant.id, never) is None
    lists = PropertyLists(database, catalogues)
    assert await lists.count(tenant.id, EVERYTHING) == len(houses) + 1
    assert await lists.count(tenant.id, EVERYTHING, [dear]) == len(houses)
    page = await lists.page(tenant.id, EVERYTHING, BY_PRICE, 1)
    assert [item.id for item in page] == [dear]
    (bands,) = (await lists.facets(tenant.id, EVERYTHING, EVERY_FACET[-1:])).values()
    assert bands.values == (("0", 1), ("1", len(houses)))
    # Afterwards the catalogue answers again.
    feed.failing = False
    feed.free.set()
    monkeypatch.setattr(module, "CATCH_UP_WITHIN", 60.0)
    async with asyncio.timeout(60):
        while (found := await catalogues.current(tenant.id, never)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert await found.count(EVERYTHING) == len(houses) + 1


@pytest.mark.parametrize("what", ["is dearer now", "is gone", "matches no longer"])
async def test_postgresql_lists_a_page_of_which_a_property_changed_meanwhile(
    database: Database, tenant: Tenant, houses: list[UUID], twin: LoadedTwin, what: str
) -> None:
    async with database.work(tenant.id) as work:
        columns = await snapshots.snapshot_after(work)
    catalogue, order, where = Catalogue(), Order("listing_price"), EVERYTHING
    catalogue.write(columns, twin.items(columns))
    expected = houses[1:3]
    async with database.work(tenant.id) as work:
        if what == "is gone":
            await table.remove(work, houses[0])
        else:
            (await table.get(work, houses[0])).listing_price = 9e6
    if what == "matches no longer":
        where = PropertyFilter(price=Range(max=1e6))
    lists = PropertyLists(database, Still(catalogue))
    page = await lists.page(tenant.id, where, order, 2)
    assert [item.id for item in page] == expected


async def test_what_memory_does_not_hold_is_asked_of_postgresql(
    database: Database, tenant: Tenant, houses: list[UUID]
) -> None:
    lists = PropertyLists(database, Still(Catalogue()))
    assert await lists.page(tenant.id, EVERYTHING, BY_PRICE, 9) == []
    by_engagement = await lists.page(tenant.id, EVERYTHING, Order("engagement"), 9)
    assert {item.id for item in by_engagement} == set(houses)
    added = PropertyFilter(added=(("an_added_number", Range()),))
    assert await lists.count(tenant.id, EVERYTHING) == 0
    assert await lists.count(tenant.id, added) == len(houses)


async def test_two_tenants_in_memory_never_meet(catalogues: Catalogues, database: Database) -> None:
    """Each asks with the other's ids, external ids, words and values."""
    firms = [await new_tenant(database) for _ in range(2)]
    lists, ids = PropertyLists(database, catalogues), []
    for name, firm in zip(("ours", "theirs"), firms, strict=True):
        async with database.work(firm.id) as work:
            ids.append(
                {
                    (
                        await add_property(
                            work, external_id=f"{name}-{number}", address=name, city=name
                        )
                    ).id
                    for number in range(3)
                }
            )
        await load(catalogues, firm)
    (ours, own), (_, other) = zip(firms, ids, strict=True)
    assert catalogues.tenants() == {firm.id for firm in firms}
    for where in (
        PropertyFilter(ids=tuple(other)),
        PropertyFilter(external_ids=("theirs-1",)),
        PropertyFilter(words=words_of("theirs")),
        PropertyFilter(cities=("theirs",)),
    ):
        assert await lists.count(ours.id, where) == 0
        assert await lists.page(ours.id, where, Order(), 9) == []
    facets = await lists.facets(ours.id, PropertyFilter(words=words_of("the")), EVERY_FACET)
    assert all(
        sum(count for _, count in counts.values) + counts.missing + counts.other == 0
        for counts in facets.values()
    )
    assert await lists.count(ours.id, EVERYTHING, other) == len(own)
    page = await lists.page(ours.id, PropertyFilter(exclude_ids=tuple(other)), Order(), 9)
    assert {item.id for item in page} == own
    (cities,) = (await lists.facets(ours.id, EVERYTHING, [Facet("cities")])).values()
    assert cities.values == (("ours", 3),)
