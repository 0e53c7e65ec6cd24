"""Filters, orders and pages of properties, against a plain Python oracle."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.contract.filters import Box, Circle, PropertyFilter, Range
from domain.contract.property_search import ORDERABLE, Order
from domain.contract.snapshots import NUMERIC_COLUMNS
from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.core.database import Database
from domain.core.errors import DomainError, ErrorCode
from domain.jobs.index_outbox import Marked
from domain.properties import search, snapshots, table
from domain.properties.table import Property
from domain.tenants.tenants import Tenant
from tests.conftest import new_tenant
from tests.factories import add_property, take_marks

SEATTLE = {"latitude": 47.6062, "longitude": -122.3321}
TACOMA = {"latitude": 47.2529, "longitude": -122.4443}


@pytest.fixture(scope="module")
async def shelf(database: Database) -> tuple[Tenant, list[Property]]:
    """A tenant with 40 properties full of ties and missing values."""
    tenant = await new_tenant(database)
    async with database.work(tenant.id) as work:
        found = [
            await add_property(
                work,
                listing_price=None if n % 7 == 0 else float(n % 5),
                listed_at=None if n % 3 == 0 else datetime(2024, 1, 1 + n % 4, tzinfo=UTC),
                square_feet=float(n),
                zipcode=None if n % 11 == 0 else f"9810{n % 3}",
                property_type=list(PropertyType)[n % 5],
                engagement=float(n % 2),
            )
            for n in range(40)
        ]
    return tenant, found


def in_order(found: Sequence[Property], order: Order) -> list[Property]:
    """What the database should answer."""
    by_id = sorted(found, key=lambda item: item.id)
    if order.column is None:
        return by_id
    name = order.column
    known = [item for item in by_id if getattr(item, name) is not None]
    known.sort(key=lambda item: getattr(item, name), reverse=order.descending)
    return known + [item for item in by_id if getattr(item, name) is None]


ORDERS = st.builds(
    Order, st.sampled_from([None, *(set(ORDERABLE) - {"days_on_market"})]), st.booleans()
)


@given(order=ORDERS, size=st.integers(1, 50), backward=st.booleans())
async def test_pages_join_up_to_the_whole_list(
    database: Database,
    shelf: tuple[Tenant, list[Property]],
    order: Order,
    size: int,
    backward: bool,
) -> None:
    tenant, found = shelf
    pages: list[list[Property]] = []
    edge: Any = None
    while True:
        async with database.work(tenant.id) as work:
            page = await search.page(
                work,
                PropertyFilter(),
                order,
                size,
                after=None if backward else edge,
                before=edge if backward else None,
                backward=backward,
            )
        if not page:
            break
        pages.append(page)
        edge = search.position(page[0] if backward else page[-1], order)
    # Reversed descending ties stay in id order, as in the oracle: Python's sort is stable.
    joined = [item.id for page in (pages[::-1] if backward else pages) for item in page]
    assert joined == [item.id for item in in_order(found, order)]


async def test_a_page_may_lie_between_two_places(
    database: Database, shelf: tuple[Tenant, list[Property]]
) -> None:
    tenant, found = shelf
    order = Order("listing_price")
    expected = in_order(found, order)
    async with database.work(tenant.id) as work:
        page = await search.page(
            work,
            PropertyFilter(),
            order,
            100,
            after=search.position(expected[3], order),
            before=search.position(expected[38], order),
        )
    assert [item.id for item in page] == [item.id for item in expected[4:38]]


@pytest.mark.parametrize(
    ("where", "matches"),
    [
        (PropertyFilter(), lambda p: True),
        (PropertyFilter(zipcodes=("98101",)), lambda p: p.zipcode == "98101"),
        (
            PropertyFilter(property_types=(PropertyType.LAND, PropertyType.CONDO)),
            lambda p: p.property_type in ("LAND", "CONDO"),
        ),
        (PropertyFilter(price=Range(1, 3)), lambda p: p.listing_price in (1, 2, 3)),
        (PropertyFilter(price=Range(max=0)), lambda p: p.listing_price == 0),
        (PropertyFilter(square_feet=Range(min=30)), lambda p: p.square_feet >= 30),
        (
            PropertyFilter(listed_after=datetime(2024, 1, 2, tzinfo=UTC)),
            lambda p: p.listed_at is not None and p.listed_at.day > 2,
        ),
        (PropertyFilter(listing_statuses=(ListingStatus.SOLD,)), lambda p: False),
        (PropertyFilter(cities=("Seattle",), bedrooms=Range(3, 3)), lambda p: True),
        (PropertyFilter(bathrooms=Range(min=2.5)), lambda p: False),
        (PropertyFilter(year_built=Range(1960, 1960)), lambda p: True),
    ],
)
async def test_filters(
    database: Database,
    shelf: tuple[Tenant, list[Property]],
    where: PropertyFilter,
    matches: Any,
) -> None:
    tenant, found = shelf
    async with database.work(tenant.id) as work:
        page = await search.page(work, where, Order(), 100)
        assert await search.count(work, where) == len(page)
    assert {item.id for item in page} == {item.id for item in found if matches(item)}


async def test_geographic_filters(database: Database, tenant: Tenant) -> None:
    async with database.work(tenant.id) as work:
        seattle = await add_property(work, **SEATTLE)
        tacoma = await add_property(work, **TACOMA)
        await add_property(work, latitude=None, longitude=None)

        async def ids(where: PropertyFilter) -> set[Any]:
            return {item.id for item in await search.page(work, where, Order(), 10)}

        # Seattle and Tacoma are about 40.2 km apart.
        around = SEATTLE["latitude"], SEATTLE["longitude"]
        assert await ids(PropertyFilter(circle=Circle(*around, 41))) == {seattle.id, tacoma.id}
        assert await ids(PropertyFilter(circle=Circle(*around, 39))) == {seattle.id}
        assert await ids(PropertyFilter(circle=Circle(*around, 0.001))) == {seattle.id}
        assert await ids(PropertyFilter(box=Box(47.0, -123, 47.5, -122))) == {tacoma.id}
        # Next to nothing apart, in the only place where a number says so.
        null_island = await add_property(work, latitude=5e-324, longitude=-1e-200)
        assert await ids(PropertyFilter(circle=Circle(0, 0, 1))) == {null_island.id}


async def test_snapshots_hold_every_column_and_nan_for_what_is_missing(
    database: Database, tenant: Tenant
) -> None:
    listed = datetime(2024, 5, 6, 7, tzinfo=UTC)
    async with database.work(tenant.id) as work:
        full = await add_property(work, listed_at=listed, renovation_needed=True, confidence=0.5)
        blank = await add_property(
            work, listing_price=None, property_type=None, listing_status=None, zipcode=None
        )
        batches = [batch async for batch in snapshots.snapshots(work, batch=1)]
    assert [len(batch) for batch in batches] == [1, 1]
    by_id = {batch.ids[0]: batch for batch in batches}
    assert by_id[full.id].column("listing_price")[0] == 500_000
    assert by_id[full.id].column("renovation_needed")[0] == 1
    assert by_id[full.id].listed_at[0] == listed.timestamp()
    assert by_id[full.id].property_type[0] == 0
    assert math.isnan(by_id[blank.id].column("listing_price")[0])
    assert by_id[blank.id].property_type[0] == by_id[blank.id].listing_status[0] == -1
    assert by_id[blank.id].zipcode == (None,)
    same = snapshots.columns_of([full, blank])
    for name in NUMERIC_COLUMNS:
        joined = [by_id[full.id].column(name)[0], by_id[blank.id].column(name)[0]]
        np.testing.assert_array_equal(same.column(name), joined)


async def test_an_empty_snapshot_has_its_columns(database: Database, tenant: Tenant) -> None:
    async with database.work(tenant.id) as work:
        empty = await snapshots.snapshot(work, [])
    assert len(empty) == 0
    assert empty.numeric.shape == (0, len(NUMERIC_COLUMNS))


async def test_removing_marks_it_for_the_index(
    database: Database, tenant: Tenant, enqueued: list[Any]
) -> None:
    async with database.work(tenant.id) as work:
        found = await add_property(work)
    async with database.work(tenant.id) as work:
        await table.remove(work, found.id)
        assert enqueued == []
    assert [(job.function, job.tenant_id) for job in enqueued] == [("index_marked", tenant.id)]
    assert await take_marks(database, tenant) == {(Marked.PROPERTY, found.id)}
    with pytest.raises(DomainError) as refused:
        async with database.work(tenant.id) as work:
            await table.remove(work, found.id, "propertyId")
    assert (refused.value.code, refused.value.field) == (ErrorCode.NOT_FOUND, ("propertyId",))


async def test_a_rollback_discards_jobs(
    database: Database, tenant: Tenant, enqueued: list[Any]
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.work(tenant.id) as work:
            work.enqueue("reindex")
            raise ZeroDivisionError
    assert enqueued == []
