"""A plain row says of a property what the mapped object says."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from domain.contract.filters import PropertyFilter, Range
from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.core.database import Database
from domain.properties import rows, table
from domain.properties.rows import PropertyRow
from domain.tenants.tenants import Tenant
from tests.factories import add_property

FULL = {
    "property_type": PropertyType.CONDO,
    "listing_status": ListingStatus.ACTIVE,
    "listing_price": 500_000.0,
    "square_feet": 2000.0,
    "bedrooms": 3,
    "renovation_needed": False,
    "listed_at": datetime(2024, 2, 3, 4, 5, 6, 789, tzinfo=UTC),
    "provenance": {"city": {"source": "mls", "confidence": 0.5}},
    "engagement": 7.5,
    "owners": 2,
}
NOTHING = dict.fromkeys(
    ("property_type", "listing_status", "listing_price", "square_feet", "bedrooms", "listed_at")
)


@pytest.mark.parametrize("values", [FULL, NOTHING], ids=["full", "nothing known"])
async def test_a_row_is_the_property(
    database: Database, tenant: Tenant, values: dict[str, object]
) -> None:
    async with database.work(tenant.id) as work:
        added = await add_property(work, **values)
    async with database.work(tenant.id) as work:
        expected = await table.get(work, added.id)
        # Through either gate.
        for reader in (work, None):
            if reader is None:
                async with database.read(tenant.id) as reading:
                    found = await rows.get_many(reading, [added.id, uuid4()])
            else:
                found = await rows.get_many(reader, [added.id, uuid4()])
            (row,) = found.values()
            names = {*PropertyRow._fields, "provenance", "price_per_square_foot"}
            for name in names - {"provenance_text"}:
                assert getattr(row, name) == getattr(expected, name), name
                assert type(getattr(row, name)) is type(getattr(expected, name)), name


async def test_only_what_matches_is_read(database: Database, tenant: Tenant) -> None:
    async with database.work(tenant.id) as work:
        cheap = await add_property(work, listing_price=100_000.0, property_type=PropertyType.CONDO)
        dear = await add_property(work, listing_price=900_000.0, property_type=PropertyType.CONDO)
        house = await add_property(
            work, listing_price=100_000.0, property_type=PropertyType.SINGLE_FAMILY
        )
    ids = [cheap.id, dear.id, house.id]
    wheres = {
        PropertyFilter(price=Range(max=200_000.0)): {cheap.id, house.id},
        PropertyFilter(price=Range(min=200_000.0)): {dear.id},
        PropertyFilter(property_types=(PropertyType.CONDO,)): {cheap.id, dear.id},
        PropertyFilter(): set(ids),
    }
    async with database.read(tenant.id) as reading:
        for where, expected in [*wheres.items(), *wheres.items()]:
            assert set(await rows.get_many(reading, ids, where)) == expected


async def test_another_tenant_reads_none(
    database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        added = await add_property(work)
    async with database.read(other_tenant.id) as reading:
        assert await rows.get_many(reading, [added.id]) == {}
