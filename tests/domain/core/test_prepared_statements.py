"""PostgreSQL keeps a statement for each shape of filter, not for each filter."""

import gc
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import uuid4

import pytest
from sqlalchemy import column, literal_column, select, table, text

import runtime
from domain.contract.filters import Box, Circle, Polygon, PropertyFilter, Range
from domain.contract.property_search import Facet, Order
from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.core.database import STATEMENTS_KEPT, Database
from domain.core.reading import Reader, Statement
from domain.core.work import Job
from domain.properties import facets, rows, search
from domain.properties.table import Property
from domain.recommendations.cold_start import ColdListing, cold_order, wanted
from domain.tenants.tenants import Tenant
from tests.factories import add_property

Value = TypeVar("Value")

REQUESTS = 12
KEPT = Statement(select(column("statement")).select_from(table("pg_prepared_statements")))


def filters(rng: random.Random) -> list[PropertyFilter]:
    """One filter of each shape, with other values every time."""

    def some(values: Sequence[Value]) -> tuple[Value, ...]:
        return tuple(rng.choice(values) for _ in range(rng.randint(1, 9)))

    corners = tuple((rng.uniform(47, 48), rng.uniform(-123, -122)) for _ in range(9))
    ids = tuple(uuid4() for _ in range(rng.randint(1, 40)))
    cities = tuple(f"City {rng.random()}" for _ in range(rng.randint(1, 9)))
    box = Box(rng.uniform(40, 47), -123 + rng.random(), rng.uniform(48, 50), -120 + rng.random())
    listed = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=rng.randint(0, 99_999))
    return [
        PropertyFilter(polygon=Polygon(corners[: rng.randint(3, 9)])),
        PropertyFilter(ids=ids, exclude_ids=ids[1:] or ids),
        PropertyFilter(cities=cities, zipcodes=cities, states=cities, external_ids=cities),
        PropertyFilter(property_types=some(list(PropertyType)), polygon=Polygon(corners)),
        PropertyFilter(listing_statuses=some(list(ListingStatus)), box=box),
        PropertyFilter(circle=Circle(rng.uniform(47, 48), rng.uniform(-123, -122), rng.random())),
        # Whole numbers and others.
        PropertyFilter(price=Range(rng.choice([1, 1.5]), 1e6), bedrooms=Range(rng.randint(0, 3))),
        PropertyFilter(listed_after=listed, listed_before=listed, owned=rng.random() < 0.5),
        PropertyFilter(renovation_needed=rng.random() < 0.5, words=tuple(map(str.lower, cities))),
    ]


@pytest.fixture
async def narrow(services: runtime.Services) -> AsyncIterator[Database]:
    """A database of one connection for each purpose."""

    async def nothing(_: Sequence[Job]) -> None:
        return

    opened = Database(services.database_url, nothing, pool_size=1)
    yield opened
    await opened.close()


async def kept(reader: Reader) -> list[str]:
    """The statements that PostgreSQL keeps of the reader's connection."""
    return [row[0] for row in await reader.fetch(KEPT)]


async def test_rows_are_read_by_a_statement_for_each_shape(
    narrow: Database, tenant: Tenant
) -> None:
    rng = random.Random(1)
    async with narrow.work(tenant.id) as work:
        house = await add_property(work)
    for _ in range(REQUESTS):
        shapes = filters(rng)
        for where in shapes:
            async with narrow.read(tenant.id) as reading:
                await rows.get_many(reading, [house.id], where)
    async with narrow.read(tenant.id) as reading:
        found = [one for one in await kept(reading) if "FROM properties" in one]
    assert len(found) == len(shapes)


async def test_lists_are_read_by_a_statement_for_each_shape(
    narrow: Database, tenant: Tenant
) -> None:
    rng = random.Random(2)
    for _ in range(REQUESTS):
        shapes = filters(rng)
        for where in shapes:
            async with narrow.work(tenant.id) as work:
                await search.count(work, where)
    async with narrow.work(tenant.id) as work:
        found = [one for one in await kept(work) if "FROM properties" in one]
    assert len(found) == len(shapes)


async def test_other_lists_are_one_statement_of_a_shape(narrow: Database, tenant: Tenant) -> None:
    rng = random.Random(3)
    async with narrow.work(tenant.id) as work:
        await add_property(work)
    for _ in range(REQUESTS):
        where, *_ = filters(rng)
        ids = [uuid4() for _ in range(rng.randint(1, 9))]
        async with narrow.work(tenant.id) as work:
            await search.page(work, where, Order(), rng.randint(1, 9))
            await facets.count_facets(work, where, [Facet("cities")])
        conditions = wanted(where, ids)
        listing = ColdListing(
            lambda: narrow.work(tenant.id), Property, cold_order(None), conditions
        )
        await listing.behind(None, rng.randint(1, 9))
    async with narrow.work(tenant.id) as work:
        found = [one for one in await kept(work) if "FROM properties" in one]
    assert len(found) == 3


async def test_a_connection_keeps_few_statements(narrow: Database, tenant: Tenant) -> None:
    others = [Statement(select(literal_column(f"{number}"))) for number in range(150)]
    async with narrow.read(tenant.id) as reading:
        for one in others:
            await reading.fetch(one)
        assert len(await kept(reading)) <= STATEMENTS_KEPT
    # The session keeps some, and the driver below it others.
    async with narrow.work(tenant.id) as work:
        for number, one in enumerate(others):
            await work.fetch(one)
            await work.session.execute(text(f"SELECT {number} + 1"))
    gc.collect()
    async with narrow.work(tenant.id) as work:
        # Those in use, or not closed yet, come on top.
        assert len(await kept(work)) <= 2 * STATEMENTS_KEPT + 5
